#include "collector/store/sqlite_query.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <future>
#include <map>

#include "collector/search/matcher.h"
#include "collector/store/sqlite_store.h"
#include "src/testing/seed.h"

namespace log_aggregator::collector {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Filter filter(std::string_view query) {
  auto result = parse_filter(query);
  EXPECT_TRUE(std::holds_alternative<Filter>(result)) << query;
  return std::get<Filter>(std::move(result));
}

// As the API takes it: with what queries select by taken out.
Record make_record(std::string json, std::int64_t time_us = 1'000) {
  Record record;
  RecordView view;
  view.read(json);
  record.level = view.level();
  record.logger = view.logger();
  record.host = view.host();
  record.json = std::move(json);
  record.time_us = time_us;
  return record;
}

class SqliteQueryTest : public ::testing::Test {
 protected:
  SqliteQueryTest() {
    std::string name = (fs::temp_directory_path() / "sqlite_query_test_XXXXXX").string();
    directory_ = mkdtemp(name.data());
    open();
  }
  ~SqliteQueryTest() override {
    store_.reset();
    fs::remove_all(directory_);
  }

  void open(SqliteStoreOptions options = {}) {
    store_.reset();
    auto opened = SqliteStore::open((directory_ / "logs.sqlite").string(), options);
    ASSERT_TRUE(opened.ok()) << opened.status().message();
    store_ = std::move(opened).value();
  }
  void append(std::vector<Record> records) {
    std::promise<Appended> promise;
    auto future = promise.get_future();
    Batch batch;
    batch.records = std::move(records);
    store_->append(std::move(batch), [&](Appended appended) { promise.set_value(appended); });
    ASSERT_TRUE(future.get().status.ok());
  }
  void append_json(std::initializer_list<const char*> records) {
    std::vector<Record> made;
    for (const char* json : records) made.push_back(make_record(json));
    append(std::move(made));
  }

  // Of the records found, in pages of `limit`, the newest first.
  std::vector<std::int64_t> ids(const std::string& query, std::size_t limit = 10'000) {
    Query asked;
    asked.filter = filter(query);
    asked.limit = limit;
    std::vector<std::int64_t> found;
    do {
      auto page = store_->query(asked);
      EXPECT_TRUE(page.ok()) << query << ": " << page.status().message();
      if (!page.ok()) break;
      for (const StoredRecord& record : page->records) found.push_back(record.id);
      asked.before = page->next;
    } while (asked.before);
    return found;
  }

  fs::path directory_;
  std::unique_ptr<SqliteStore> store_;
};

TEST_F(SqliteQueryTest, FindsWhatIsStoredAtOnce) {
  append_json({R"({"message":"Connection reset","extra":{"user_id":1}})",
               R"({"message":"connection lost","logger_name":"app.db","level":"ERROR"})"});
  EXPECT_THAT(ids("connection"), ElementsAre(2, 1));
  EXPECT_THAT(ids("\"connection reset\""), ElementsAre(1));
  EXPECT_THAT(ids("user_id=1"), ElementsAre(1));
  EXPECT_THAT(ids("connection level>=ERROR"), ElementsAre(2));
  EXPECT_THAT(ids("connection -lost"), ElementsAre(1));
  EXPECT_THAT(ids("nothing"), IsEmpty());
}

TEST_F(SqliteQueryTest, FindsTheSameWithoutTheIndexAndAfterMakingItAnew) {
  append_json({R"({"message":"a b"})", R"({"message":"b a"})"});
  open({.full_text = false});
  append_json({R"({"message":"a b c"})"});
  EXPECT_THAT(ids("\"a b\""), ElementsAre(3, 1));
  open();
  append_json({R"({"message":"x a b"})"});
  EXPECT_THAT(ids("\"a b\""), ElementsAre(4, 3, 1));
  EXPECT_THAT(ids("c"), ElementsAre(3));
}

TEST_F(SqliteQueryTest, FindsFieldsOfRecordsWithMoreOfThemThanAreIndexed) {
  std::string wide = R"({"message":"m","extra":{)";
  for (int i = 0; i < 1000; ++i)
    wide += "\"f" + std::to_string(i) + "\":" + std::to_string(i) + ',';
  wide += "\"" + std::string(1000, 'p') + "\":\"long\"}}";
  append({make_record(wide), make_record(R"({"message":"m","extra":{"f1":1}})")});
  EXPECT_THAT(ids("f1=1"), ElementsAre(2, 1));
  EXPECT_THAT(ids("f999=999"), ElementsAre(1));
  EXPECT_THAT(ids("f999=998"), IsEmpty());
  EXPECT_THAT(ids(std::string(1000, 'p') + "=long"), ElementsAre(1));
}

TEST_F(SqliteQueryTest, WordsAreNotTakenForTheIndexOfFields) {
  append_json({R"({"message":"m","extra":{"more":"more"}})"});
  EXPECT_THAT(ids("more"), IsEmpty());
  EXPECT_THAT(ids("fields=more"), IsEmpty());
}

TEST_F(SqliteQueryTest, GivesUpAQueryThatTakesTooLong) {
  std::vector<Record> records;
  for (int i = 0; i < 30'000; ++i) records.push_back(make_record(R"({"message":"m"})"));
  append(std::move(records));
  open({.query_timeout = std::chrono::milliseconds(0)});
  Query asked;
  asked.filter = filter("nothing_at_all=*");
  const auto page = store_->query(asked);
  ASSERT_FALSE(page.ok());
  EXPECT_THAT(page.status().message(), HasSubstr("took too long"));
  HistogramQuery histogram;
  histogram.to_us = 10'000;
  histogram.filter = asked.filter;
  EXPECT_FALSE(store_->histogram(histogram).ok());
}

TEST_F(SqliteQueryTest, CountsByTimeAndLevel) {
  std::vector<Record> records;
  for (const auto& [time_us, level] : {std::pair(-5, "INFO"),
                                       {0, "INFO"},
                                       {99, "ERROR"},
                                       {100, "INFO"},
                                       {101, "INFO"},
                                       {250, ""}}) {
    records.push_back(make_record(R"({"message":"m )" + std::to_string(time_us) + R"(","level":")" +
                                      level + R"(","logger_name":"app"})",
                                  time_us));
  }
  append(std::move(records));
  HistogramQuery query;
  query.from_us = -50;
  query.to_us = 250;
  query.step_us = 100;
  using Bucket = std::tuple<std::int64_t, std::string, std::int64_t>;
  const auto counts = [&](const char* text) {
    query.filter = filter(text);
    const auto found = store_->histogram(query);
    EXPECT_TRUE(found.ok()) << found.status().message();
    std::vector<Bucket> buckets;
    for (const auto& each : *found) buckets.emplace_back(each.time_us, each.level, each.count);
    return buckets;
  };
  const std::vector<Bucket> all{
      {-100, "INFO", 1}, {0, "ERROR", 1}, {0, "INFO", 1}, {100, "INFO", 2}};
  for (const char* text : {"", "m", "-x", "logger:app", "logger:a* message:m -x"}) {
    EXPECT_EQ(counts(text), all) << text;
  }
  EXPECT_THAT(counts("level>INFO"), ElementsAre(Bucket{0, "ERROR", 1}));
  EXPECT_THAT(counts("101"), ElementsAre(Bucket{100, "INFO", 1}));
  query.from_us = 100;
  query.to_us = 101;
  EXPECT_THAT(counts(""), ElementsAre(Bucket{100, "INFO", 1}));
}

TEST_F(SqliteQueryTest, ReadsOnAfterARecord) {
  EXPECT_EQ(*store_->last_id(), 0);
  append_json({R"({"message":"a"})", R"({"message":"b"})", R"({"message":"c"})"});
  EXPECT_EQ(*store_->last_id(), 3);
  const auto records = store_->read_after(1, 1 << 20);
  ASSERT_EQ(records->size(), 2);
  EXPECT_EQ((*records)[0].id, 2);
  EXPECT_EQ(store_->read_after(1, 1)->size(), 1);
  EXPECT_TRUE(store_->read_after(3, 1)->empty());
  EXPECT_EQ((*store_->find(2))->json, R"({"message":"b"})");
  EXPECT_FALSE(store_->find(4)->has_value());
}

TEST_F(SqliteQueryTest, SaysHowFarItHasStored) {
  std::promise<std::int64_t> told;
  store_->listen([&](std::int64_t id) { told.set_value(id); });
  append_json({R"({"message":"a"})", R"({"message":"b"})"});
  EXPECT_EQ(told.get_future().get(), 2);
}

// ---- the index, SQL and the Matcher find the same

class Language {
 public:
  explicit Language(testing::Random& random) : random_(random) {}

  std::string record() {
    std::string json = R"({"message":")" + words() + '"';
    if (chance(2)) json += R"(,"level":")" + pick(kLevels) + '"';
    if (chance(2)) json += R"(,"logger_name":")" + pick(kLoggers) + '"';
    if (chance(2)) json += R"(,"host":")" + pick(kHosts) + '"';
    if (chance(4)) json += R"(,"exception":")" + words() + '"';
    if (chance(2)) {
      json += R"(,"extra":{"user_id":)" + pick(kValues) + R"(,"a":{"b":[)" + pick(kValues) + ',' +
              pick(kValues) + "]}}";
    }
    return json + '}';
  }

  std::string query() {
    std::string query;
    const int terms = 1 + static_cast<int>(random_.below(3));
    for (int i = 0; i < terms; ++i) {
      if (chance(3)) query += '-';
      query += term();
      query += ' ';
    }
    return query;
  }

 private:
  template <std::size_t n>
  std::string pick(const char* const (&from)[n]) {
    return from[random_.below(n)];
  }
  bool chance(unsigned n) { return random_.one_in(n); }
  std::string words() {
    std::string text;
    for (int i = static_cast<int>(random_.below(5)); i >= 0; --i)
      text += pick(kWords) + pick(kSpaces);
    return text;
  }
  std::string term() {
    switch (random_.below(9)) {
      case 0:
        return pick(kWords);
      case 1:
        return "\"" + pick(kWords) + " " + pick(kWords) + (chance(2) ? "\"*" : "\"");
      case 2:
        return pick(kPrefixes) + "*";
      case 3:
        return pick(kIn) + pick(kWords);
      case 4:
        return "level" + pick(kComparisons) + pick(kComparedLevels);
      case 5:
        return "logger:" + pick(kLoggerTerms);
      case 6:
        return "host:" + pick(kHostTerms);
      case 7:
        return pick(kPaths) + "=" + pick(kValues);
      default:
        return pick(kPaths) + "=" + pick(kValuePrefixes);
    }
  }

  static constexpr const char* kWords[] = {"alpha", "beta",     "Gamma", "ÄLPHA",
                                           "x",     "alphabet", "日本"};
  static constexpr const char* kSpaces[] = {" ", "-", ".", " \\n", "_", "\\u0000"};
  static constexpr const char* kPrefixes[] = {"al", "b", "日", "alphab"};
  static constexpr const char* kIn[] = {"message:", "exception:"};
  static constexpr const char* kLevels[] = {"INFO", "error", "ERROR", "Level 35", "AUDIT", "DEBUG"};
  static constexpr const char* kComparisons[] = {":", ">=", "<", ">", "<="};
  static constexpr const char* kComparedLevels[] = {"INFO", "ERROR", "35"};
  static constexpr const char* kLoggers[] = {"app", "app.db", "application", "alpha.beta"};
  static constexpr const char* kLoggerTerms[] = {"app", "app.*", "app*", "*", "alpha.beta"};
  static constexpr const char* kHosts[] = {"web-1", "web-2", "db"};
  static constexpr const char* kHostTerms[] = {"web-1", "web-*", "db", "DB"};
  static constexpr const char* kValues[] = {"1", "12", "true", "\"s\"", "1.5"};
  static constexpr const char* kValuePrefixes[] = {"1*", "s", "*"};
  static constexpr const char* kPaths[] = {"user_id", "a.b", "a", "exception_x", "x"};

  testing::Random& random_;
};

TEST_F(SqliteQueryTest, TheIndexAndTheMatcherFindTheSame) {
  testing::Random random;
  Language language(random);
  constexpr int kRecords = 500;
  std::vector<std::string> records;
  std::vector<Record> batch;
  for (int i = 0; i < kRecords; ++i) {
    records.push_back(language.record());
    batch.push_back(make_record(records.back()));
  }
  append(std::move(batch));

  std::map<std::string, std::vector<std::int64_t>> expected;
  Matcher matcher;
  for (int i = 0; i < 1'000; ++i) {
    const std::string query = language.query();
    const Filter asked = filter(query);
    auto& found = expected[query];
    found.clear();
    for (int id = kRecords; id > 0; --id) {
      matcher.look_at(records[static_cast<std::size_t>(id - 1)]);
      if (matcher.matches(asked)) found.push_back(id);
    }
  }
  for (const auto& [query, found] : expected) EXPECT_EQ(ids(query, 7), found) << query;
  open({.full_text = false});
  for (const auto& [query, found] : expected) EXPECT_EQ(ids(query), found) << query;
}

}  // namespace
}  // namespace log_aggregator::collector
