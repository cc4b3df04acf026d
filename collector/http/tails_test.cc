#include "collector/http/tails.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <future>

#include "collector/store/sqlite_store.h"

namespace log_aggregator::collector {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

Selection selecting(std::string_view query) {
  Selection selection;
  selection.filter = std::get<Filter>(parse_filter(query));
  return selection;
}

// What a client gets to see of a tail.
class Client {
 public:
  explicit Client(std::shared_ptr<HttpStream> stream) : stream_(std::move(stream)) {
    stream_->start([this] {
      MutexLock lock(mutex_);
      woken_ = true;
      ready_.notify_one();
    });
  }
  ~Client() { stream_->stop(); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Takes what comes until all of it holds `text`.
  const std::string& read_until(std::string_view text) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    std::size_t from = 0;  // where what was not searched yet begins
    while (true) {
      seen_ += stream_->read();
      if (seen_.find(text, from) != std::string::npos) return seen_;
      from = seen_.size() - std::min(seen_.size(), text.size());
      MutexLock lock(mutex_);
      while (!woken_) {
        if (std::chrono::steady_clock::now() > deadline) {
          ADD_FAILURE() << text << " does not come; there is " << seen_.substr(0, 1000);
          return seen_;
        }
        ready_.wait_until(mutex_, deadline);
      }
      woken_ = false;
    }
  }
  // Of what it has seen, in order.
  std::vector<std::int64_t> ids() const {
    std::vector<std::int64_t> found;
    for (std::size_t at = 0; (at = seen_.find("data: {\"id\":", at)) != std::string::npos; ++at) {
      found.push_back(std::stoll(seen_.substr(at + 12)));
    }
    return found;
  }
  std::int64_t missed() const {
    std::int64_t sum = 0;
    constexpr std::string_view kMissed = "event: missed\ndata: {\"missed\":";
    for (std::size_t at = 0; (at = seen_.find(kMissed, at)) != std::string::npos; ++at) {
      sum += std::stoll(seen_.substr(at + kMissed.size()));
    }
    return sum;
  }

 private:
  std::shared_ptr<HttpStream> stream_;
  std::string seen_;
  Mutex mutex_;
  CondVar ready_;
  bool woken_ GUARDED_BY(mutex_) = false;
};

class TailsTest : public testing::Test {
 protected:
  TailsTest() {
    std::string name = (fs::temp_directory_path() / "tails_test_XXXXXX").string();
    directory_ = mkdtemp(name.data());
    store_ = SqliteStore::open((directory_ / "logs.sqlite").string()).value();
  }
  ~TailsTest() override {
    tails_.reset();
    store_.reset();
    fs::remove_all(directory_);
  }

  void start(TailLimits limits = {}) { tails_ = std::make_unique<Tails>(*store_, limits); }

  // `count` records "<text> 1", "<text> 2", ...
  void append(const std::string& text, int count = 1) {
    std::promise<Appended> promise;
    auto future = promise.get_future();
    Batch batch;
    for (int i = 1; i <= count; ++i) {
      Record record;
      record.json = "{\"message\":\"" + text + " " + std::to_string(i) + "\"}";
      batch.records.push_back(std::move(record));
    }
    store_->append(std::move(batch), [&](Appended appended) { promise.set_value(appended); });
    ASSERT_TRUE(future.get().status.ok());
  }

  fs::path directory_;
  std::unique_ptr<SqliteStore> store_;
  std::unique_ptr<Tails> tails_;
};

TEST_F(TailsTest, ShowsWhatIsStoredFromNowOn) {
  append("before", 2);
  start();
  Client client(tails_->open({}, {}));
  append("after");
  EXPECT_EQ(client.read_until("after"),
            "id: 2\n\nid: 3\ndata: {\"id\":3,\"message\":\"after 1\"}\n\n");
}

TEST_F(TailsTest, ShowsNothingThatWasStoredBeforeItWasOpened) {
  start();
  for (int i = 1; i <= 300; ++i) {  // of many, some are opened before others were shown the record
    append("before");
    Client client(tails_->open({}, {}));
    ASSERT_THAT(client.read_until("\n\n"), StartsWith("id: " + std::to_string(i) + "\n\n"));
  }
}

TEST_F(TailsTest, BeginsAfterARecordThatIsNamed) {
  start();
  append("old", 5);
  Client client(tails_->open({}, 2));
  append("new");
  EXPECT_THAT(client.read_until("new"), StartsWith("id: 2\n\n"));
  EXPECT_THAT(client.ids(), ElementsAre(3, 4, 5, 6));
}

TEST_F(TailsTest, BeginsWithWhatComesAfterARecordThatIsNotThereYet) {
  start();
  append("old", 3);
  Client client(tails_->open({}, 1000));
  append("new");
  EXPECT_THAT(client.read_until("new"), HasSubstr("id: 4\n"));
}

TEST_F(TailsTest, ShowsOnlyWhatIsSelected) {
  start();
  append("noise");
  Client client(tails_->open(selecting("signal"), 0));
  append("noise", 100);
  append("signal");
  append("noise", 100);
  append("Signal last");
  client.read_until("last");
  EXPECT_THAT(client.ids(), ElementsAre(102, 203));
}

TEST_F(TailsTest, LosesNothingOfABurstThatTheClientIsTooSlowFor) {
  start({.max_pending_bytes = 1 << 10});
  Client client(tails_->open({}, {}));
  constexpr int kRecords = 30'000;  // several pages
  append("burst", kRecords);
  append("last");
  client.read_until("last 1");
  EXPECT_EQ(client.ids().size(), kRecords + 1);
  EXPECT_EQ(client.missed(), 0);
}

TEST_F(TailsTest, TellsAClientThatStaysSlowHowMuchItMissedAndGoesOn) {
  start({.max_pending_bytes = 1 << 10, .max_lag = 100});
  Client slow(tails_->open({}, {}));
  Client quick(tails_->open({}, {}));
  Client choosy(tails_->open(selecting("odd*"), {}));
  constexpr int kRecords = 20'000;
  for (int i = 0; i < kRecords / 1'000; ++i) {
    const std::string text = (i % 2 == 1 ? "odd" : "even") + std::to_string(i);
    append(text, 1'000);
    quick.read_until(text + " 1000");
  }
  append("end");
  quick.read_until("end 1");
  EXPECT_EQ(quick.ids().size(), kRecords + 1);
  EXPECT_EQ(quick.missed(), 0);
  append("odd after the end");
  slow.read_until("after the end");
  choosy.read_until("after the end");
  EXPECT_GT(slow.missed(), 0);
  EXPECT_EQ(static_cast<std::int64_t>(slow.ids().size()) + slow.missed(), kRecords + 2);
  EXPECT_EQ(static_cast<std::int64_t>(choosy.ids().size()) + choosy.missed(), kRecords / 2 + 1);
  EXPECT_EQ(static_cast<std::int64_t>(tails_->missed()), slow.missed() + choosy.missed());
}

TEST_F(TailsTest, LeavesNothingOutOfWhatAClientHasAskedForByName) {
  append("old", 5'000);
  start({.max_pending_bytes = 1 << 10, .max_lag = 100});
  Client client(tails_->open({}, 0));
  client.read_until("old 5000");
  EXPECT_EQ(client.ids().size(), 5'000);
  EXPECT_EQ(client.missed(), 0);
}

TEST_F(TailsTest, ShowsARecordThatIsLargerThanWhatMayWait) {
  start({.max_pending_bytes = 100, .max_total_pending_bytes = 100});
  Client client(tails_->open({}, {}));
  append(std::string(10'000, 'x'));
  append("last");
  client.read_until("last");
  EXPECT_THAT(client.ids(), ElementsAre(1, 2));
}

TEST_F(TailsTest, IsOneEventWhateverTheRecordsLineBreaks) {
  start();
  Client client(tails_->open({}, {}));
  std::promise<void> stored;
  Batch batch;
  batch.records.resize(1);
  batch.records[0].json = "{\n\"message\":\r\n\"a\\nb\"\n}";
  store_->append(std::move(batch), [&](const Appended&) { stored.set_value(); });
  stored.get_future().wait();
  append("last");
  EXPECT_THAT(client.read_until("last"),
              HasSubstr("\nid: 1\ndata: {\"id\":1, \"message\":  \"a\\nb\" }\n\nid: 2\n"));
}

TEST_F(TailsTest, RefusesMoreTailsThanItMayHave) {
  start({.max_tails = 2});
  auto first = tails_->open({}, {});
  auto second = tails_->open({}, {});
  EXPECT_EQ(tails_->open({}, {}), nullptr);
  EXPECT_EQ(tails_->count(), 2);
  first.reset();
  EXPECT_NE(tails_->open({}, {}), nullptr);
}

}  // namespace
}  // namespace log_aggregator::collector
