#include "collector/store/sqlite_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <future>

namespace log_aggregator::collector {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kJournal = "6f1c0f6e-0b57-4c39-9f5b-7f0f3a6d2c11";

// ---- a file system that counts how often the write-ahead log is synchronised

std::atomic<int> wal_syncs{0};
sqlite3_io_methods counting_methods;
int (*real_sync)(sqlite3_file*, int) = nullptr;
sqlite3_vfs* real_vfs = nullptr;

int count_sync(sqlite3_file* file, int flags) {
  ++wal_syncs;
  return real_sync(file, flags);
}

int open_counted(sqlite3_vfs* /*vfs*/, sqlite3_filename name, sqlite3_file* file, int flags,
                 int* out_flags) {
  const int code = real_vfs->xOpen(real_vfs, name, file, flags, out_flags);
  if (code == SQLITE_OK && (flags & SQLITE_OPEN_WAL) != 0) {
    counting_methods = *file->pMethods;
    real_sync = counting_methods.xSync;
    counting_methods.xSync = count_sync;
    file->pMethods = &counting_methods;
  }
  return code;
}

// Every database opened while it lives goes through it.
class CountingFileSystem {
 public:
  CountingFileSystem() {
    real_vfs = sqlite3_vfs_find(nullptr);
    vfs_ = *real_vfs;
    vfs_.zName = "counting";
    vfs_.xOpen = open_counted;
    sqlite3_vfs_register(&vfs_, 1);
    wal_syncs = 0;
  }
  ~CountingFileSystem() {
    sqlite3_vfs_unregister(&vfs_);
    sqlite3_vfs_register(real_vfs, 1);
  }

 private:
  sqlite3_vfs vfs_;
};

// ---- the vocabulary of the tests

Record make_record(const std::string& message) {
  Record record;
  record.json = "{\"message\":\"" + message + "\"}";
  record.time_us = 1'000;
  record.level = "INFO";
  record.logger = "app";
  record.host = "h";
  return record;
}

Batch make_batch(std::initializer_list<const char*> messages) {
  Batch batch;
  for (const char* message : messages) batch.records.push_back(make_record(message));
  return batch;
}

Batch numbered(const std::vector<std::uint64_t>& numbers) {
  Batch batch;
  batch.journal = kJournal;
  for (const std::uint64_t number : numbers) {
    batch.records.push_back(make_record(std::to_string(number)));
    batch.records.back().sequence = number;
  }
  return batch;
}

Batch with_skipped(Batch batch, std::vector<SequenceRange> skipped) {
  batch.journal = kJournal;
  batch.skipped = std::move(skipped);
  return batch;
}

class SqliteStoreTest : public testing::Test {
 protected:
  SqliteStoreTest() {
    std::string name = (fs::temp_directory_path() / "sqlite_store_test_XXXXXX").string();
    directory_ = mkdtemp(name.data());
    path_ = directory_ / "logs.sqlite";
  }
  ~SqliteStoreTest() override {
    store_.reset();
    fs::remove_all(directory_);
  }

  void open(SqliteStoreOptions options = {}) {
    auto opened = SqliteStore::open(path_.string(), options);
    ASSERT_TRUE(opened.ok()) << opened.status().message();
    store_ = std::move(opened).value();
  }
  void reopen() {
    store_.reset();
    open();
  }

  Appended append(Batch batch) {
    std::promise<Appended> promise;
    auto future = promise.get_future();
    store_->append(std::move(batch), [&](Appended appended) { promise.set_value(appended); });
    return future.get();
  }
  // {stored, duplicates}
  std::pair<std::size_t, std::size_t> counts(Batch batch) {
    const Appended appended = append(std::move(batch));
    EXPECT_TRUE(appended.status.ok()) << appended.status.message();
    return {appended.stored, appended.duplicates};
  }

  Page page(const Query& query) {
    auto found = store_->query(query);
    EXPECT_TRUE(found.ok()) << found.status().message();
    return found.ok() ? *found : Page();
  }
  // Of the whole store, oldest first.
  std::vector<std::string> messages(Query query = {}) {
    query.limit = 10'000;
    std::vector<std::string> found;
    for (const StoredRecord& record : page(query).records) {
      found.insert(found.begin(), record.json.substr(12, record.json.size() - 14));
    }
    return found;
  }

  GapsPage gaps_page(const GapsQuery& query) {
    auto found = store_->gaps(query);
    EXPECT_TRUE(found.ok()) << found.status().message();
    return found.ok() ? *found : GapsPage();
  }
  // Of kJournal.
  Gaps gaps() {
    GapsQuery query;
    query.journal = kJournal;
    const GapsPage found = gaps_page(query);
    EXPECT_EQ(found.journals.size(), 1);
    return found.journals.empty() ? Gaps() : found.journals[0].gaps;
  }
  std::vector<std::string> journals(const GapsQuery& query) {
    std::vector<std::string> found;
    for (const JournalGaps& each : gaps_page(query).journals) found.push_back(each.journal);
    return found;
  }

  std::int64_t ask(const char* sql) {
    auto database = Database::open(path_.string(), SQLITE_OPEN_READWRITE);
    EXPECT_TRUE(database.ok());
    auto answer = database->ask(sql);
    EXPECT_TRUE(answer.ok()) << answer.status().message();
    return answer.ok() ? *answer : -1;
  }
  void run(const char* sql) {
    auto database = Database::open(path_.string(), SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
    ASSERT_TRUE(database.ok());
    const Status status = database->run(sql);
    ASSERT_TRUE(status.ok()) << status.message();
  }

  fs::path directory_;
  fs::path path_;
  std::unique_ptr<SqliteStore> store_;
};

TEST_F(SqliteStoreTest, KeepsRecordsInOrderAcrossReopening) {
  open();
  EXPECT_EQ(counts(make_batch({"a", "b"})), std::pair(2ul, 0ul));
  reopen();
  EXPECT_EQ(counts(make_batch({"c"})), std::pair(1ul, 0ul));
  EXPECT_THAT(messages(), ElementsAre("a", "b", "c"));
}

TEST_F(SqliteStoreTest, WritesWhatIsQueuedBeforeItCloses) {
  open();
  std::atomic<int> done{0};
  for (int i = 0; i < 100; ++i) {
    store_->append(make_batch({"x"}),
                   [&](const Appended& appended) { done += appended.status.ok(); });
  }
  store_.reset();
  EXPECT_EQ(done, 100);
  open();
  EXPECT_EQ(messages().size(), 100);
}

TEST_F(SqliteStoreTest, SynchronisesTheLogBeforeItAnswers) {
  const CountingFileSystem counting;
  open();
  for (int i = 0; i < 5; ++i) {
    const int before = wal_syncs;
    append(make_batch({"x"}));
    EXPECT_GT(wal_syncs, before);
  }
  store_.reset();
}

TEST_F(SqliteStoreTest, SharesOneSynchronisationAmongQueuedBatches) {
  const CountingFileSystem counting;
  open();
  constexpr int kBatches = 200;
  const int before = wal_syncs;
  std::promise<void> first_done;
  std::promise<void> go_on;
  auto gate = go_on.get_future().share();
  // The writer waits in this answer until all others are queued.
  store_->append(make_batch({"first"}), [&, gate](const Appended&) {
    first_done.set_value();
    gate.wait();
  });
  first_done.get_future().wait();
  std::promise<void> all_done;
  std::atomic<int> done{0};
  for (int i = 0; i < kBatches; ++i) {
    store_->append(make_batch({"x"}), [&](const Appended&) {
      if (++done == kBatches) all_done.set_value();
    });
  }
  go_on.set_value();
  all_done.get_future().wait();
  EXPECT_LT(wal_syncs - before, 10);
  EXPECT_EQ(messages().size(), kBatches + 1);
  store_.reset();
}

TEST_F(SqliteStoreTest, CountsWhatIsSentAgainAsDuplicates) {
  open();
  EXPECT_EQ(counts(numbered({1, 2, 3})), std::pair(3ul, 0ul));
  EXPECT_EQ(counts(numbered({1, 2, 3})), std::pair(0ul, 3ul));
  reopen();
  EXPECT_EQ(counts(numbered({2, 3, 4})), std::pair(1ul, 2ul));
  EXPECT_THAT(messages(), ElementsAre("1", "2", "3", "4"));
}

TEST_F(SqliteStoreTest, KeepsOneRowForAJournalWithoutGapsWhateverTheOrder) {
  open();
  for (const std::vector<std::uint64_t>& numbers :
       {std::vector<std::uint64_t>{4, 5}, {0, 1}, {8}, {2, 3}, {6, 7}, {10, 12}}) {
    counts(numbered(numbers));
  }
  EXPECT_EQ(ask("SELECT count(*) FROM stored_interval"), 3);
  counts(numbered({9, 10, 11}));
  EXPECT_EQ(ask("SELECT count(*) FROM stored_interval"), 1);
  EXPECT_EQ(ask("SELECT first FROM stored_interval"), 0);
  EXPECT_EQ(ask("SELECT last FROM stored_interval"), 12);
  EXPECT_EQ(ask("SELECT count(*) FROM record"), 13);
}

TEST_F(SqliteStoreTest, FindsDuplicatesAcrossManyIntervals) {
  open();
  std::vector<std::uint64_t> even;
  std::vector<std::uint64_t> all;
  for (std::uint64_t number = 0; number < 200; ++number) {
    if (number % 2 == 0) even.push_back(number);
    all.push_back(number);
  }
  EXPECT_EQ(counts(numbered(even)), std::pair(100ul, 0ul));
  EXPECT_EQ(counts(numbered({50, 51, 52})), std::pair(1ul, 2ul));
  EXPECT_EQ(counts(numbered(all)), std::pair(99ul, 101ul));
  EXPECT_EQ(counts(numbered(all)), std::pair(0ul, 200ul));
}

TEST_F(SqliteStoreTest, TakesTheLargestSequence) {
  open();
  EXPECT_EQ(counts(numbered({0, kMaxSequence})), std::pair(2ul, 0ul));
  EXPECT_EQ(counts(numbered({kMaxSequence})), std::pair(0ul, 1ul));
}

TEST_F(SqliteStoreTest, AFailedTransactionStoresNeitherRecordsNorIntervalsAndIsNotTheLast) {
  open();
  counts(numbered({1}));
  run("CREATE TRIGGER fail BEFORE INSERT ON record WHEN new.json LIKE '%\"3\"%'"
      " BEGIN SELECT raise(ABORT, 'no space'); END");
  const Appended failed = append(numbered({2, 3}));
  EXPECT_EQ(failed.status.code(), StatusCode::unavailable);
  EXPECT_THAT(failed.status.message(), HasSubstr("no space"));
  EXPECT_THAT(messages(), ElementsAre("1"));
  run("DROP TRIGGER fail");
  EXPECT_EQ(counts(numbered({2, 3})), std::pair(2ul, 0ul));
}

TEST_F(SqliteStoreTest, RefusesMoreThanItCanKeepInMemory) {
  constexpr std::size_t kQueuedBytes = 1 << 20;
  open({.max_queued_bytes = kQueuedBytes});
  std::promise<void> first_done;
  std::promise<void> go_on;
  auto gate = go_on.get_future().share();
  store_->append(make_batch({"first"}), [&, gate](const Appended&) {
    first_done.set_value();
    gate.wait();
  });
  first_done.get_future().wait();
  int refused = 0;
  std::atomic<int> stored{0};
  const auto caller = std::this_thread::get_id();
  for (int i = 0; i < 10; ++i) {
    Batch large;
    large.records.push_back(make_record(std::string(kQueuedBytes / 8, 'x')));
    store_->append(std::move(large), [&, caller](const Appended& appended) {
      if (std::this_thread::get_id() == caller && !appended.status.ok()) ++refused;
      if (appended.status.ok()) ++stored;
    });
  }
  EXPECT_GE(refused, 2);
  go_on.set_value();
  store_.reset();
  EXPECT_EQ(stored + refused, 10);
}

TEST_F(SqliteStoreTest, UsesAnIndexForOneValue) {
  open();
  for (const char* column : {"level", "logger", "host"}) {
    auto database = Database::open(path_.string(), SQLITE_OPEN_READWRITE);
    ASSERT_TRUE(database.ok());
    auto plan = database->prepare(std::string("EXPLAIN QUERY PLAN SELECT id FROM record WHERE ") +
                                  column + " = 1 ORDER BY id DESC LIMIT 10");
    ASSERT_TRUE(plan.ok());
    ASSERT_EQ(plan->step(), Statement::Step::row);
    EXPECT_THAT(std::string(plan->text(3)), HasSubstr("COVERING INDEX")) << column;
    EXPECT_EQ(plan->step(), Statement::Step::done) << "it sorts";
  }
}

TEST_F(SqliteStoreTest, CreatesItsFileForItsOwnerOnly) {
  open();
  EXPECT_EQ(fs::status(path_).permissions(), fs::perms::owner_read | fs::perms::owner_write);
}

TEST_F(SqliteStoreTest, RefusesTheFilesOfOthers) {
  run("CREATE TABLE theirs (x)");
  const auto opened = SqliteStore::open(path_.string());
  ASSERT_FALSE(opened.ok());
  EXPECT_THAT(opened.status().message(), HasSubstr("something else"));
}

TEST_F(SqliteStoreTest, RefusesTheFilesOfOtherVersions) {
  open();
  store_.reset();
  run("PRAGMA user_version = 99");
  const auto opened = SqliteStore::open(path_.string());
  ASSERT_FALSE(opened.ok());
  EXPECT_THAT(opened.status().message(), HasSubstr("99"));
}

TEST_F(SqliteStoreTest, SaysWhyAFileCannotBeOpened) {
  const auto opened = SqliteStore::open((directory_ / "missing" / "x").string());
  ASSERT_FALSE(opened.ok());
  EXPECT_THAT(opened.status().message(), HasSubstr("No such file"));
}

TEST_F(SqliteStoreTest, AnswersPagesThatFollowEachOther) {
  open();
  counts(make_batch({"a", "b", "c", "d", "e"}));
  Query query;
  query.limit = 2;
  std::vector<std::size_t> sizes;
  std::vector<std::int64_t> ids;
  while (true) {
    const Page found = page(query);
    sizes.push_back(found.records.size());
    for (const StoredRecord& record : found.records) ids.push_back(record.id);
    if (!found.next) break;
    query.before = found.next;
  }
  EXPECT_THAT(sizes, ElementsAre(2, 2, 1));
  EXPECT_THAT(ids, ElementsAre(5, 4, 3, 2, 1));
}

TEST_F(SqliteStoreTest, FindsATimeWhereverItsRecordsAre) {
  open();
  // Old records beyond what is walked through, and one with an old time among the newest.
  constexpr std::int64_t kRecords = 45'000;
  Batch batch;
  for (std::int64_t i = 0; i < kRecords; ++i) {
    batch.records.push_back(make_record(std::to_string(i)));
    batch.records.back().time_us = i == kRecords - 1 ? 10 : i;
  }
  counts(std::move(batch));
  Query query;
  query.to_us = 12;
  query.limit = 4;
  std::vector<std::int64_t> ids;
  do {
    const Page found = page(query);
    for (const StoredRecord& record : found.records) ids.push_back(record.id);
    query.before = found.next;
  } while (query.before);
  EXPECT_THAT(ids, ElementsAre(kRecords, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1));
  query = {};
  query.from_us = 100;
  query.limit = 3;
  EXPECT_EQ(page(query).records.front().id, kRecords - 1);
}

TEST_F(SqliteStoreTest, BindsTextWithoutReadingItAsSql) {
  open();
  Batch batch = make_batch({"a"});
  batch.records[0].logger = "x' OR '1'='1";
  counts(std::move(batch));
  counts(make_batch({"b"}));
  Query query;
  query.logger = "x' OR '1'='1";
  EXPECT_THAT(messages(query), ElementsAre("a"));
  query.logger = std::string("app\0", 4);
  EXPECT_THAT(messages(query), IsEmpty());
}

TEST_F(SqliteStoreTest, QueriesRunBesideTheWriter) {
  open();
  std::atomic<bool> stop{false};
  std::vector<std::thread> readers;
  std::atomic<int> failures{0};
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      while (!stop) {
        if (!store_->query({}).ok()) ++failures;
      }
    });
  }
  for (int i = 0; i < 200; ++i) append(make_batch({"a", "b", "c"}));
  stop = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(failures, 0);
  EXPECT_EQ(messages().size(), 600);
}

TEST_F(SqliteStoreTest, KnowsWhichNumbersAreMissing) {
  open();
  counts(numbered({2, 3, 7}));
  EXPECT_THAT(gaps().missing, ElementsAre(SequenceRange{1, 1}, SequenceRange{4, 6}));
  counts(numbered({1, 4, 5, 6}));
  EXPECT_FALSE(gaps().any());
  EXPECT_EQ(gaps().stored, 7);
}

TEST_F(SqliteStoreTest, KnowsWhatWasGivenUpHoweverOftenItIsSaidAndAfterReopening) {
  open();
  EXPECT_EQ(counts(with_skipped(numbered({1, 2, 9}), {{3, 4}, {6, 6}})), std::pair(3ul, 0ul));
  EXPECT_EQ(counts(with_skipped({}, {{3, 4}, {6, 6}})), std::pair(0ul, 0ul));
  EXPECT_EQ(counts(with_skipped({}, {{4, 5}})), std::pair(0ul, 0ul));
  EXPECT_EQ(ask("SELECT count(*) FROM skipped_interval"), 1);
  reopen();
  EXPECT_THAT(gaps().skipped, ElementsAre(SequenceRange{3, 6}));
  EXPECT_THAT(gaps().missing, ElementsAre(SequenceRange{7, 8}));
  EXPECT_EQ(gaps().stored, 3);
}

TEST_F(SqliteStoreTest, ANumberThatIsStoredAndGivenUpCountsAsStoredWhicheverCameFirst) {
  open();
  counts(with_skipped(numbered({1, 2, 3}), {{2, 2}, {5, 5}}));
  EXPECT_EQ(counts(numbered({4, 5})), std::pair(2ul, 0ul));
  EXPECT_FALSE(gaps().any());
  EXPECT_THAT(journals({}), IsEmpty());
  EXPECT_THAT(messages(), ElementsAre("1", "2", "3", "4", "5"));
}

TEST_F(SqliteStoreTest, AFailedTransactionStoresNothingOfWhatWasGivenUp) {
  open();
  counts(numbered({1}));
  run("CREATE TRIGGER fail BEFORE INSERT ON record BEGIN SELECT raise(ABORT, 'no space'); END");
  EXPECT_FALSE(append(with_skipped(numbered({3}), {{2, 2}})).status.ok());
  EXPECT_EQ(ask("SELECT count(*) FROM skipped_interval"), 0);
  run("DROP TRIGGER fail");
  run("CREATE TRIGGER fail BEFORE INSERT ON skipped_interval"
      " BEGIN SELECT raise(ABORT, 'no space'); END");
  EXPECT_FALSE(append(with_skipped(numbered({3}), {{2, 2}})).status.ok());
  EXPECT_THAT(messages(), ElementsAre("1"));
  EXPECT_FALSE(gaps().any());
}

TEST_F(SqliteStoreTest, ListsJournalsWithGapsTheLatestFirstInPagesThatFollowEachOther) {
  open();
  for (int i = 0; i < 6; ++i) {
    Batch batch = i % 2 == 0 ? numbered({1, 2}) : numbered({1, 3});
    batch.journal = std::string(8, static_cast<char>('a' + i));
    counts(std::move(batch));
  }
  EXPECT_THAT(journals({}), ElementsAre("ffffffff", "dddddddd", "bbbbbbbb"));
  GapsQuery query;
  query.all = true;
  query.limit = 4;
  const GapsPage first = gaps_page(query);
  ASSERT_EQ(first.journals.size(), 4);
  ASSERT_TRUE(first.next);
  query.before = first.next;
  EXPECT_THAT(journals(query), ElementsAre("bbbbbbbb", "aaaaaaaa"));
  EXPECT_FALSE(gaps_page(query).next);
  query = {};
  query.limit = 3;
  EXPECT_FALSE(gaps_page(query).next) << "behind a page that is just full, nothing has gaps";
  query = {};
  query.journal = "cccccccc";
  EXPECT_THAT(journals(query), ElementsAre("cccccccc"));
  query.journal = "zzzzzzzz";
  EXPECT_THAT(journals(query), IsEmpty());
}

TEST_F(SqliteStoreTest, NamesTheHostOfAJournalAndWhenItWasLastHeardOf) {
  open();
  Batch batch = numbered({2});
  batch.received_us = 5;
  counts(std::move(batch));
  batch = with_skipped({}, {{1, 1}});
  batch.received_us = 6;
  counts(std::move(batch));
  const GapsPage found = gaps_page({});
  ASSERT_EQ(found.journals.size(), 1);
  EXPECT_EQ(found.journals[0].host, "h");
  EXPECT_EQ(found.journals[0].seen_us, 6);
}

TEST_F(SqliteStoreTest, BoundsWhatItSaysOfAJournalWithMoreGapsThanAnyoneReads) {
  open();
  std::vector<std::uint64_t> even;
  for (std::uint64_t number = 2; number <= 8'000; number += 2) even.push_back(number);
  counts(numbered(even));
  const Gaps found = gaps();
  EXPECT_EQ(found.missing_count, 4'000);
  EXPECT_EQ(found.missing.size(), 1'000);
  EXPECT_TRUE(found.truncated);
}

TEST_F(SqliteStoreTest, NothingSeemsMissingOfAJournalThatGrowsMeanwhile) {
  open();
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  std::thread reader([&] {
    while (!stop) {
      const auto found = store_->gaps({});
      if (!found.ok()) ++wrong;
      for (const JournalGaps& each : found.ok() ? found->journals : std::vector<JournalGaps>()) {
        if (each.gaps.missing_count > 0) ++wrong;
      }
    }
  });
  // What is stored is of one table, what is given up of another.
  for (std::uint64_t number = 1; number <= 600; number += 2) {
    counts(with_skipped(numbered({number}), {{number + 1, number + 1}}));
  }
  stop = true;
  reader.join();
  EXPECT_EQ(wrong, 0);
}

TEST_F(SqliteStoreTest, OpensAFileOfVersion1AndKnowsItsDuplicates) {
  open();
  counts(numbered({1, 2}));
  store_.reset();
  run("DROP TABLE skipped_interval; ALTER TABLE journal DROP COLUMN host;"
      "ALTER TABLE journal DROP COLUMN seen_us; DROP INDEX record_time_level;"
      "CREATE INDEX record_time ON record (time_us); PRAGMA user_version = 1");
  open();
  EXPECT_EQ(counts(with_skipped(numbered({2, 5}), {{3, 3}})), std::pair(1ul, 1ul));
  EXPECT_THAT(gaps().missing, ElementsAre(SequenceRange{4, 4}));
}

}  // namespace
}  // namespace log_aggregator::collector
