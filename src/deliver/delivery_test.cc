#include "src/deliver/delivery.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "log_aggregator/json_writer.h"
#include "src/testing/fake_clock.h"
#include "src/testing/fake_files.h"
#include "src/testing/fake_transport.h"
#include "src/testing/seed.h"
#include "src/testing/sent_records.h"

namespace log_aggregator {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using Answer = testing::FakeTransport::Answer;
using Received = testing::FakeTransport::Received;

constexpr std::string_view kTakesAll =
    R"({"status":"ok","batch":{"max_records":1000,"max_bytes":1000000},)"
    R"("formats":["array","ndjson"],"encodings":["zstd","gzip"]})";

Answer answer(int status, std::string body = "", std::string retry_after = "") {
  return {{.status = status,
           .error = {},
           .body = std::move(body),
           .retry_after = std::move(retry_after)}};
}
Answer unreachable() {
  return {{.status = 0, .error = "Connection refused", .body = {}, .retry_after = {}}};
}
Answer hanging() { return {.response = {}, .after = std::chrono::hours(1)}; }

std::string header(const Received& request, std::string_view name) {
  for (const Header& header : request.headers) {
    if (header.name == name) return header.value;
  }
  return "";
}

std::vector<std::uint64_t> numbers(const Received& request) {
  return testing::numbers_of(
      testing::records_of(header(request, "Content-Type"),
                          testing::decoded(header(request, "Content-Encoding"), request.content)),
      "n");
}

std::vector<std::uint64_t> from_to(std::uint64_t first, std::uint64_t last) {
  std::vector<std::uint64_t> numbers(last - first + 1);
  std::iota(numbers.begin(), numbers.end(), first);
  return numbers;
}

// A delivery to an API that the test directs, on a clock that moves only where delivery waits.
// Records are {"n":1}, {"n":2}, ... as they are logged.
class DeliveryTest : public ::testing::Test {
 protected:
  DeliveryTest() {
    options_.timeout = seconds(5);
    options_.retry_attempts = 3;
    options_.retry_delay = seconds(1);
    options_.report = [this](std::string_view line) { reports_.emplace_back(line); };
    endpoint_ = parse_endpoint("http://api.test/v1/logs").value();
    transport_.on_get = [this](const Received&) { return health_; };
    transport_.on_post = [this](const Received& request) {
      Answer given = server_(request);
      if (given.response.status / 100 == 2) {
        for (const std::uint64_t n : numbers(request)) stored_.push_back(n);
      }
      return given;
    };
  }

  ~DeliveryTest() override { expect_books_add_up(); }

  Journal& journal() {
    if (!journal_) journal_ = std::make_unique<Journal>(limits_, plan());
    return *journal_;
  }
  Delivery& delivery() {
    if (!delivery_) {
      std::unique_ptr<Orphanage> orphanage;
      if (spools_) orphanage = std::make_unique<Orphanage>(files_, "/spool");
      delivery_ = std::make_unique<Delivery>(options_, endpoint_, journal(), transport_, mailbox_,
                                             clock_, std::move(orphanage), compressor_());
    }
    return *delivery_;
  }
  std::optional<Journal::SpoolPlan> plan() {
    if (!spools_) return std::nullopt;
    return Journal::SpoolPlan{.files = files_, .root = "/spool", .memory_bytes = 1 << 20};
  }

  // ---- the application

  void log(int count = 1) {
    for (int i = 0; i < count; ++i) log_text("");
  }
  void log_text(const std::string& message) {
    std::string record = "{\"n\":" + std::to_string(++logged_);
    if (!message.empty()) {
      record += ",\"message\":\"";
      append_json_escaped(record, message);
      record += '"';
    }
    log_raw(record + '}');
  }
  void log_raw(const std::string& record) {
    delivery();
    if (journal().append(20, record).wake) delivery().wake();
  }
  void flush() { delivery().flush_through(journal().mark().through); }
  void close(milliseconds timeout) {
    closing_ = true;
    journal().close();
    delivery().close(clock_.now() + timeout);
  }

  // ---- the worker

  // Until all that was logged has met its fate or nothing more happens by itself. Returns whether
  // delivery goes on.
  bool run() {
    for (int i = 0; i < 100'000; ++i) {
      if (!delivery().step()) return false;
      expect_books_add_up();
      const bool settled = stats().pending == 0 && !closing_;
      if (transport_.idle() || settled) return true;
    }
    ADD_FAILURE() << "delivery never rests";
    return false;
  }
  void run_until(const std::function<bool()>& done) {
    for (int i = 0; i < 10'000 && !done(); ++i) ASSERT_TRUE(delivery().step());
    ASSERT_TRUE(done()) << "never happened";
  }
  // As if this process had died, and another one had started.
  void restart() {
    files_.kill([this] {
      delivery_.reset();
      journal_.reset();
    });
  }
  // Until something was sent or nothing more happens.
  void run_until_posts(std::size_t count) {
    while (transport_.posts.size() < count && !transport_.idle()) ASSERT_TRUE(delivery().step());
  }
  // Flushes and runs, so that what was logged goes into full batches at once.
  bool deliver() {
    flush();
    return run();
  }

  // ---- what can be seen

  const std::vector<testing::FakeTransport::Sent>& posts() const { return transport_.posts; }
  const std::vector<testing::FakeTransport::Sent>& gets() const { return transport_.gets; }
  std::vector<std::size_t> post_sizes() const {
    std::vector<std::size_t> sizes;
    for (const auto& post : posts()) sizes.push_back(numbers(post.request).size());
    return sizes;
  }
  Stats stats() const {
    Stats stats;
    if (delivery_) delivery_->fill(stats);
    if (journal_) journal_->fill(stats);
    return stats;
  }
  std::uint64_t dropped(DropCause cause) const { return stats().dropped_for(cause); }
  void expect_books_add_up() const {
    const Stats now = stats();
    EXPECT_EQ(now.accepted, now.delivered + now.pending + now.dropped_total());
  }

  bool spools_ = false;
  testing::FakeFiles files_;
  Options options_;
  Journal::Limits limits_{.capacity_bytes = 4 << 20, .segment_bytes = 256 << 10};
  Answer health_ = answer(200, std::string(kTakesAll));
  std::function<Answer(const Received&)> server_ = [](const Received&) { return answer(200); };
  std::function<std::unique_ptr<Compressor>()> compressor_ = std::make_unique<Compressor>;
  std::vector<std::uint64_t> stored_;
  std::vector<std::string> reports_;
  testing::FakeClock clock_;
  testing::FakeTransport transport_{clock_};

 private:
  std::uint64_t logged_ = 0;
  bool closing_ = false;
  Endpoint endpoint_;
  Mailbox mailbox_;
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<Delivery> delivery_;
};

// ---- the question what the API takes

TEST_F(DeliveryTest, nothing_is_asked_or_sent_before_the_first_record) {
  EXPECT_TRUE(run());
  EXPECT_THAT(gets(), IsEmpty());
  EXPECT_THAT(posts(), IsEmpty());
}

TEST_F(DeliveryTest, health_is_asked_before_the_first_batch_and_then_no_more) {
  log(2);
  deliver();
  log(2);
  deliver();
  ASSERT_THAT(gets(), SizeIs(1));
  EXPECT_EQ(gets()[0].request.url, "http://api.test/v1/health");
  EXPECT_EQ(post_sizes(), (std::vector<std::size_t>{2, 2}));
  EXPECT_EQ(posts()[0].request.url, "http://api.test/v1/logs");
}

TEST_F(DeliveryTest, an_api_that_says_nothing_gets_one_plain_object_for_each_post) {
  health_ = answer(200, "OK");
  log(3);
  deliver();
  EXPECT_EQ(stored_, from_to(1, 3));
  ASSERT_THAT(posts(), SizeIs(3));
  EXPECT_EQ(posts()[0].request.content, R"({"n":1})");
  EXPECT_EQ(header(posts()[0].request, "Content-Type"), "application/json");
  EXPECT_EQ(header(posts()[0].request, "Content-Encoding"), "");
}

TEST_F(DeliveryTest, an_api_without_a_health_address_gets_one_plain_object_for_each_post) {
  health_ = answer(404, "no such page");
  log(2);
  deliver();
  EXPECT_EQ(post_sizes(), (std::vector<std::size_t>{1, 1}));
  EXPECT_THAT(gets(), SizeIs(1));
}

TEST_F(DeliveryTest, an_api_whose_health_answer_is_an_error_is_asked_again_after_a_while) {
  health_ = answer(503);
  log(2);
  deliver();
  EXPECT_EQ(post_sizes(), (std::vector<std::size_t>{1, 1}));
  health_ = answer(200, std::string(kTakesAll));
  log();
  deliver();
  EXPECT_THAT(gets(), SizeIs(1));
  clock_.advance(seconds(31));
  log();
  deliver();
  EXPECT_THAT(gets(), SizeIs(2));
  log(2);
  deliver();
  EXPECT_EQ(post_sizes(), (std::vector<std::size_t>{1, 1, 1, 1, 2}));
}

TEST_F(DeliveryTest, unreachable_health_costs_attempts_and_leaves_the_question_open) {
  int asked = 0;
  transport_.on_get = [&](const Received&) { return ++asked <= 2 ? unreachable() : health_; };
  log(5);
  deliver();
  EXPECT_EQ(asked, 3);
  EXPECT_EQ(post_sizes(), (std::vector<std::size_t>{5}))
      << "it was not taken for one that says nothing";
  EXPECT_EQ(stored_, from_to(1, 5));
}

TEST_F(DeliveryTest, a_batch_whose_health_question_never_gets_through_is_dropped_and_reported) {
  health_ = unreachable();
  log(5);
  deliver();
  EXPECT_THAT(gets(), SizeIs(4)) << "one try and three retries";
  EXPECT_THAT(posts(), IsEmpty());
  EXPECT_EQ(dropped(DropCause::retries_exhausted), 5U);
  ASSERT_THAT(reports_, SizeIs(1));
  EXPECT_THAT(reports_[0], AllOf(HasSubstr("5 records"), HasSubstr("Connection refused")));
  health_ = answer(200, std::string(kTakesAll));
  log(2);
  deliver();
  EXPECT_EQ(stored_, from_to(6, 7)) << "the next batch asks anew";
}

TEST_F(DeliveryTest, a_reconnect_makes_it_ask_again) {
  log();
  deliver();
  server_ = [](const Received&) {
    Answer given = answer(200);
    given.response.new_connection = true;
    return given;
  };
  log();
  deliver();
  EXPECT_THAT(gets(), SizeIs(1));
  log();
  deliver();
  EXPECT_THAT(gets(), SizeIs(2));
}

TEST_F(DeliveryTest, a_server_that_never_keeps_connections_is_not_asked_each_time) {
  server_ = [](const Received&) {
    Answer given = answer(200);
    given.response.new_connection = true;
    return given;
  };
  for (int i = 0; i < 10; ++i) {
    log();
    deliver();
  }
  EXPECT_THAT(gets(), SizeIs(1));
  EXPECT_EQ(stored_, from_to(1, 10));
}

TEST_F(DeliveryTest, a_server_that_keeps_connections_again_is_asked_after_a_reconnect) {
  bool reconnected = true;
  int tries = 0;
  server_ = [&](const Received&) {
    if (++tries == 2) return unreachable();  // with which the question is asked anew
    Answer given = answer(200);
    given.response.new_connection = std::exchange(reconnected, false);
    return given;
  };
  log();
  deliver();
  log();
  deliver();
  EXPECT_THAT(gets(), SizeIs(2));
  reconnected = true;
  log();
  deliver();
  log();
  deliver();
  EXPECT_THAT(gets(), SizeIs(3));
}

TEST_F(DeliveryTest, a_lost_connection_makes_it_ask_again) {
  int tries = 0;
  server_ = [&](const Received&) { return ++tries == 1 ? unreachable() : answer(200); };
  log();
  deliver();
  EXPECT_THAT(gets(), SizeIs(2));
  EXPECT_EQ(stored_, from_to(1, 1));
}

// ---- batches

TEST_F(DeliveryTest, records_are_sent_in_the_order_they_were_logged) {
  options_.batch_size = 7;
  log(100);
  deliver();
  EXPECT_EQ(stored_, from_to(1, 100));
}

TEST_F(DeliveryTest, a_batch_closes_at_batch_size) {
  options_.batch_size = 10;
  log(25);
  deliver();
  EXPECT_EQ(post_sizes(), (std::vector<std::size_t>{10, 10, 5}));
}

TEST_F(DeliveryTest, a_batch_closes_at_what_the_api_takes) {
  health_ = answer(200, R"({"batch":{"max_records":4}})");
  log(10);
  deliver();
  EXPECT_EQ(post_sizes(), (std::vector<std::size_t>{4, 4, 2}));
}

TEST_F(DeliveryTest, no_body_is_longer_than_batch_bytes_or_what_the_api_takes) {
  for (const std::string format : {"array", "ndjson"}) {
    health_ = answer(200, R"({"batch":{"max_bytes":200},"formats":[")" + format + R"("]})");
    clock_.advance(seconds(1));
    server_ = [](const Received&) { return answer(415); };  // so that the question is asked anew
    log();
    deliver();
    server_ = [](const Received& request) {
      EXPECT_LE(request.content.size(), 200U);
      return answer(200);
    };
    for (int i = 0; i < 300; ++i) log_text(std::string(static_cast<std::size_t>(i % 23), 'x'));
    deliver();
  }
  EXPECT_THAT(stored_, SizeIs(600));
}

TEST_F(DeliveryTest, a_record_longer_than_batch_bytes_goes_alone) {
  options_.batch_bytes = 1000;
  log(3);
  log_text(std::string(5000, 'L'));
  log(3);
  deliver();
  EXPECT_EQ(stored_, from_to(1, 7));
  EXPECT_EQ(post_sizes(), (std::vector<std::size_t>{3, 1, 3}));
}

TEST_F(DeliveryTest, a_batch_that_does_not_fill_goes_when_its_first_record_is_flush_interval_old) {
  options_.flush_interval = milliseconds(200);
  log(2);
  run();
  ASSERT_THAT(posts(), SizeIs(1));
  EXPECT_EQ(posts()[0].at, milliseconds(200));
}

TEST_F(DeliveryTest, a_batch_is_never_closed_because_nothing_is_to_do) {
  log();
  deliver();  // from here on what the API takes is known
  log(2);
  ASSERT_TRUE(delivery().step());
  ASSERT_TRUE(delivery().step());
  EXPECT_THAT(posts(), SizeIs(1)) << "the worker is free, yet it waits";
  run();
  EXPECT_EQ(posts()[1].at, posts()[0].at + options_.flush_interval);
}

TEST_F(DeliveryTest, a_flush_interval_of_zero_sends_at_once) {
  options_.flush_interval = milliseconds(0);
  log();
  run();
  ASSERT_THAT(posts(), SizeIs(1));
  EXPECT_EQ(posts()[0].at, milliseconds(0));
}

TEST_F(DeliveryTest, a_full_batch_does_not_wait) {
  options_.batch_size = 3;
  log(3);
  run();
  EXPECT_EQ(posts()[0].at, milliseconds(0));
}

TEST_F(DeliveryTest, a_record_that_fills_the_batch_ends_the_wait) {
  options_.batch_size = 3;
  log(2);
  ASSERT_TRUE(delivery().step());  // waits for a third: the clock moves to the end of it
  const auto waited = clock_.elapsed();
  log(1);
  run();
  EXPECT_EQ(posts()[0].at, waited);
  EXPECT_EQ(post_sizes(), (std::vector<std::size_t>{3}));
}

TEST_F(DeliveryTest, a_flush_ends_the_wait) {
  log(2);
  deliver();
  EXPECT_EQ(posts()[0].at, milliseconds(0));
}

TEST_F(DeliveryTest, a_flush_concerns_only_what_was_logged_before_it) {
  log(1);
  deliver();
  log(1);
  run();
  EXPECT_EQ(posts()[1].at, options_.flush_interval);
}

TEST_F(DeliveryTest, bodies_are_ndjson_and_compressed_where_the_api_takes_that) {
  log(2);
  deliver();
  EXPECT_EQ(header(posts()[0].request, "Content-Type"), "application/x-ndjson");
  EXPECT_EQ(header(posts()[0].request, "Content-Encoding"), "zstd");
  EXPECT_EQ(testing::decoded("zstd", posts()[0].request.content), "{\"n\":1}\n{\"n\":2}\n");
  EXPECT_EQ(stats().bytes_sent, posts()[0].request.content.size());
}

TEST_F(DeliveryTest, requests_carry_the_journal_and_the_sequence_numbers) {
  options_.batch_size = 2;
  log(3);
  deliver();
  EXPECT_THAT(header(posts()[0].request, "Log-Aggregator-Journal"), SizeIs(36));
  EXPECT_EQ(header(posts()[0].request, "Log-Aggregator-Journal"),
            header(posts()[1].request, "Log-Aggregator-Journal"));
  EXPECT_EQ(header(posts()[0].request, "Log-Aggregator-Sequence"), "1-2");
  EXPECT_EQ(header(posts()[1].request, "Log-Aggregator-Sequence"), "3-3");
}

TEST_F(DeliveryTest, the_gap_of_evicted_records_shows_in_the_sequence_numbers) {
  limits_ = {
      .capacity_bytes = 64 << 10, .segment_bytes = 4 << 10, .overflow = Overflow::drop_oldest};
  options_.batch_size = 10'000;
  log();
  journal().peek();  // from now on the first segment is read from and stays
  log(20'000);
  deliver();
  ASSERT_GT(dropped(DropCause::evicted), 0U);
  const std::string ranges = header(posts()[0].request, "Log-Aggregator-Sequence");
  EXPECT_THAT(ranges,
              AllOf(::testing::StartsWith("1-"), HasSubstr(","), ::testing::EndsWith("-20001")));
  EXPECT_EQ(dropped(DropCause::evicted) + stored_.size(), 20'001U);
}

TEST_F(DeliveryTest, every_request_carries_the_given_headers_and_the_timeout) {
  options_.headers = {{"Authorization", "Bearer secret-token"}};
  log();
  deliver();
  for (const Received& request : {gets()[0].request, posts()[0].request}) {
    EXPECT_EQ(header(request, "Authorization"), "Bearer secret-token");
    EXPECT_EQ(request.timeout, options_.timeout);
  }
}

// ---- retries

TEST_F(DeliveryTest, transient_errors_are_retried_with_growing_waits) {
  for (const int status : {500, 502, 503, 504, 408, 429}) {
    const std::size_t before = posts().size();
    int tries = 0;
    server_ = [&](const Received&) { return ++tries <= 3 ? answer(status) : answer(200); };
    log(2);
    deliver();
    ASSERT_THAT(posts(), SizeIs(before + 4)) << status;
    const auto wait = [&](std::size_t n) {
      return posts()[before + n].at - posts()[before + n - 1].at;
    };
    EXPECT_THAT(wait(1).count(), AllOf(::testing::Ge(1000), ::testing::Le(1500)));
    EXPECT_THAT(wait(2).count(), AllOf(::testing::Ge(2000), ::testing::Le(3000)));
    EXPECT_THAT(wait(3).count(), AllOf(::testing::Ge(4000), ::testing::Le(6000)));
  }
  EXPECT_EQ(stored_, from_to(1, 12));
  EXPECT_EQ(stats().retries, 18U);
  EXPECT_THAT(reports_, IsEmpty());
}

// Each is a delivery of its own with a clock of its own; they fail at the same moment.
TEST_F(DeliveryTest, after_a_failure_200_clients_come_back_spread_over_time) {
  constexpr int kClients = 200;
  constexpr milliseconds kSlice{50};  // a tenth of what chance adds to the first wait of 1 s
  server_ = [](const Received&) { return answer(500); };
  std::map<milliseconds::rep, int> per_slice;
  for (int client = 0; client < kClients; ++client) {
    testing::FakeClock clock;
    testing::FakeTransport transport(clock);
    transport.on_get = transport_.on_get;
    transport.on_post = server_;
    const Endpoint endpoint = parse_endpoint("http://api.test/v1/logs").value();
    Mailbox mailbox;
    Journal journal(limits_);
    Delivery delivery(options_, endpoint, journal, transport, mailbox, clock);
    journal.append(20, "{}");
    delivery.flush_through(1);
    while (transport.posts.size() < 2) ASSERT_TRUE(delivery.step());
    const milliseconds wait = transport.posts[1].at - transport.posts[0].at;
    EXPECT_GE(wait, options_.retry_delay);
    EXPECT_LE(wait, options_.retry_delay * 3 / 2);
    ++per_slice[wait / kSlice];
  }
  int peak = 0;
  for (const auto& [slice, clients] : per_slice) peak = std::max(peak, clients);
  std::printf("of %d clients at most %d came back within %d ms\n", kClients, peak,
              static_cast<int>(kSlice.count()));
  // 20 on the average; 50 is beyond any chance.
  EXPECT_LE(peak, 50);
}

TEST_F(DeliveryTest, a_batch_is_dropped_and_reported_when_its_retries_are_used_up) {
  server_ = [](const Received&) { return answer(503, "out of order"); };
  log(4);
  deliver();
  EXPECT_THAT(posts(), SizeIs(4));
  EXPECT_EQ(dropped(DropCause::retries_exhausted), 4U);
  ASSERT_THAT(reports_, SizeIs(1));
  EXPECT_THAT(reports_[0], AllOf(HasSubstr("4 records"), HasSubstr("retries_exhausted"),
                                 HasSubstr("503"), HasSubstr("out of order")));
  EXPECT_THAT(stats().last_error, HasSubstr("503"));
}

TEST_F(DeliveryTest, no_retry_attempts_means_one_try) {
  options_.retry_attempts = 0;
  server_ = [](const Received&) { return answer(503); };
  log();
  deliver();
  EXPECT_THAT(posts(), SizeIs(1));
  EXPECT_EQ(dropped(DropCause::retries_exhausted), 1U);
}

TEST_F(DeliveryTest, a_dropped_batch_does_not_take_the_next_one_with_it) {
  options_.batch_size = 2;
  server_ = [](const Received& request) {
    return numbers(request).front() == 1 ? answer(500) : answer(200);
  };
  log(4);
  deliver();
  EXPECT_EQ(stored_, from_to(3, 4));
  EXPECT_EQ(dropped(DropCause::retries_exhausted), 2U);
}

TEST_F(DeliveryTest, a_hanging_server_costs_the_timeout_and_an_attempt) {
  int tries = 0;
  server_ = [&](const Received&) { return ++tries == 1 ? hanging() : answer(200); };
  log();
  deliver();
  ASSERT_THAT(posts(), SizeIs(2));
  EXPECT_GE(posts()[1].at - posts()[0].at, options_.timeout + options_.retry_delay);
  EXPECT_EQ(stored_, from_to(1, 1));
}

TEST_F(DeliveryTest, a_longer_retry_after_is_honoured) {
  int tries = 0;
  server_ = [&](const Received&) { return ++tries == 1 ? answer(429, "", "17") : answer(200); };
  log();
  deliver();
  EXPECT_EQ(posts()[1].at - posts()[0].at, seconds(17));
}

TEST_F(DeliveryTest, a_shorter_retry_after_does_not_hurry_a_retry) {
  int tries = 0;
  server_ = [&](const Received&) { return ++tries == 1 ? answer(503, "", "0") : answer(200); };
  log();
  deliver();
  EXPECT_GE(posts()[1].at - posts()[0].at, seconds(1));
}

TEST_F(DeliveryTest, an_absurd_retry_after_is_five_minutes) {
  int tries = 0;
  server_ = [&](const Received&) {
    return ++tries == 1 ? answer(503, "", "99999999999999999999") : answer(200);
  };
  log();
  deliver();
  EXPECT_EQ(posts()[1].at - posts()[0].at, std::chrono::minutes(5));
}

TEST_F(DeliveryTest, a_wall_clock_that_jumps_an_hour_changes_neither_order_nor_waits) {
  for (const int hours : {1, -1}) {
    SCOPED_TRACE(hours);
    const std::size_t before = posts().size();
    server_ = [&](const Received&) {
      clock_.move_wall(std::chrono::hours(hours));
      return posts().size() < before + 3 ? answer(503) : answer(200);
    };
    log(3);
    ASSERT_TRUE(deliver());
    ASSERT_EQ(posts().size(), before + 3);
    EXPECT_LE(posts().back().at - posts()[before].at, seconds(5));  // 1 s and 2 s, and half more
    EXPECT_EQ(stats().pending, 0U);
  }
  EXPECT_EQ(stored_, from_to(1, 6));
}

TEST_F(DeliveryTest, records_logged_during_a_wait_go_behind_the_waiting_ones) {
  int tries = 0;
  server_ = [&](const Received&) { return ++tries <= 2 ? answer(503) : answer(200); };
  log(2);
  flush();
  run_until_posts(1);
  log(2);
  deliver();
  EXPECT_EQ(stored_, from_to(1, 4));
}

// ---- splitting

TEST_F(DeliveryTest, a_batch_that_is_too_large_is_split_and_health_asked_again) {
  server_ = [](const Received& request) {
    return numbers(request).size() > 3 ? answer(413) : answer(200);
  };
  log(10);
  deliver();
  EXPECT_EQ(stored_, from_to(1, 10));
  EXPECT_EQ(stats().dropped_total(), 0U);
  EXPECT_GT(gets().size(), 1U);
  EXPECT_EQ(stats().retries, 0U) << "a split is no failure";
}

TEST_F(DeliveryTest, a_single_record_that_is_too_large_is_dropped_as_such) {
  server_ = [](const Received& request) {
    return request.content.size() > 100 ? answer(413, "too large") : answer(200);
  };
  options_.compression = Compression::none;
  log(2);
  log_text(std::string(200, 'L'));
  log(2);
  deliver();
  EXPECT_EQ(stored_, (std::vector<std::uint64_t>{1, 2, 4, 5}));
  EXPECT_EQ(dropped(DropCause::too_large), 1U);
  EXPECT_THAT(reports_, ElementsAre(HasSubstr("too_large")));
}

TEST_F(DeliveryTest, a_smaller_limit_that_is_learnt_after_413_is_kept_to) {
  server_ = [this](const Received& request) {
    if (numbers(request).size() <= 5) return answer(200);
    health_ = answer(200, R"({"batch":{"max_records":5}})");
    return answer(413);
  };
  log(20);
  deliver();
  EXPECT_EQ(stored_, from_to(1, 20));
  EXPECT_EQ(post_sizes(), (std::vector<std::size_t>{20, 5, 5, 5, 5}));
}

TEST_F(DeliveryTest, one_poisoned_record_is_found_and_all_others_are_stored) {
  server_ = [](const Received& request) {
    const auto sent = numbers(request);
    return std::count(sent.begin(), sent.end(), 123U) != 0 ? answer(400, "bad") : answer(200);
  };
  log(500);
  deliver();
  EXPECT_THAT(stored_, SizeIs(499));
  EXPECT_TRUE(std::is_sorted(stored_.begin(), stored_.end()));
  EXPECT_EQ(std::count(stored_.begin(), stored_.end(), 123U), 0);
  EXPECT_EQ(dropped(DropCause::refused), 1U);
  EXPECT_LT(posts().size(), 25U);
  ASSERT_THAT(reports_, SizeIs(1));
  EXPECT_THAT(reports_[0], AllOf(HasSubstr("1 record "), HasSubstr("400"), HasSubstr("bad")));
}

TEST_F(DeliveryTest, several_poisoned_records_are_found_too) {
  const std::set<std::uint64_t> poisoned{1, 2, 77, 300};
  server_ = [&](const Received& request) {
    for (const std::uint64_t n : numbers(request)) {
      if (poisoned.count(n) != 0) return answer(422);
    }
    return answer(200);
  };
  log(300);
  deliver();
  EXPECT_THAT(stored_, SizeIs(296));
  EXPECT_EQ(dropped(DropCause::refused), 4U);
}

TEST_F(DeliveryTest, records_that_the_answer_names_are_dropped_and_the_others_count_as_delivered) {
  server_ = [](const Received&) {
    return answer(400, R"({"stored":2,"duplicates":1,"errors":[{"index":1,"reason":"no level"}]})");
  };
  log(4);
  deliver();
  EXPECT_THAT(posts(), SizeIs(1));
  EXPECT_EQ(stats().delivered, 3U);
  EXPECT_EQ(dropped(DropCause::refused), 1U);
  EXPECT_THAT(reports_, ElementsAre(AllOf(HasSubstr("1 record "), HasSubstr("no level"))));
}

TEST_F(DeliveryTest, an_answer_whose_counts_do_not_add_up_names_nobody) {
  server_ = [](const Received& request) {
    return numbers(request).size() > 1 ? answer(400, R"({"stored":7,"errors":[{"index":1}]})")
                                       : answer(200);
  };
  log(4);
  deliver();
  EXPECT_EQ(stored_, from_to(1, 4));
  EXPECT_EQ(stats().delivered, 4U);
}

TEST_F(DeliveryTest, garbage_and_unknown_statuses_are_refusals) {
  for (const int status : {302, 404, 405, 418, 199}) {
    server_ = [&](const Received&) { return answer(status, "\x01\xFF\x1B[2J"); };
    log(2);
    deliver();
  }
  EXPECT_EQ(dropped(DropCause::refused), 10U);
  EXPECT_EQ(posts().size(), 5U);
  for (const std::string& report : reports_) EXPECT_THAT(report, Not(HasSubstr("\x1B")));
}

// ---- credentials

class DeliveryAuthTest : public DeliveryTest {
 protected:
  DeliveryAuthTest() {
    options_.auth = [this]() -> Result<Headers> {
      ++asked_;
      if (auth_fails_) return Status::unavailable("the vault is sealed");
      return Headers{{"Authorization", "Bearer token-" + std::to_string(asked_)}};
    };
  }

  int asked_ = 0;
  bool auth_fails_ = false;
};

TEST_F(DeliveryAuthTest, credentials_are_asked_for_once_and_again_when_they_are_old) {
  options_.auth_ttl = seconds(300);
  log();
  deliver();
  clock_.advance(seconds(299));
  log();
  deliver();
  EXPECT_EQ(asked_, 1);
  clock_.advance(seconds(2));
  log();
  deliver();
  EXPECT_EQ(asked_, 2);
  EXPECT_EQ(header(posts()[2].request, "Authorization"), "Bearer token-2");
}

TEST_F(DeliveryAuthTest, a_401_asks_once_for_fresh_credentials_and_for_health) {
  server_ = [](const Received& request) {
    return header(request, "Authorization") == "Bearer token-2" ? answer(200) : answer(401);
  };
  log(3);
  deliver();
  EXPECT_EQ(asked_, 2);
  EXPECT_EQ(stored_, from_to(1, 3));
  EXPECT_THAT(gets(), SizeIs(2));
  EXPECT_THAT(reports_, IsEmpty());
}

TEST_F(DeliveryAuthTest, a_second_401_drops_what_is_in_hand) {
  for (const int status : {401, 403}) {
    server_ = [&](const Received&) { return answer(status, "who are you?"); };
    log(3);
    deliver();
  }
  EXPECT_EQ(posts().size(), 4U);
  EXPECT_EQ(dropped(DropCause::unauthorized), 6U);
  EXPECT_THAT(reports_[0], AllOf(HasSubstr("unauthorized"), HasSubstr("401")));
}

TEST_F(DeliveryAuthTest, failing_credentials_cost_attempts) {
  auth_fails_ = true;
  log(3);
  deliver();
  EXPECT_EQ(asked_, 4);
  EXPECT_EQ(dropped(DropCause::retries_exhausted), 3U);
  EXPECT_THAT(reports_, ElementsAre(HasSubstr("the vault is sealed")));
}

TEST_F(DeliveryAuthTest, old_credentials_serve_on_where_no_new_ones_are_to_be_had) {
  log();
  deliver();
  auth_fails_ = true;
  clock_.advance(options_.auth_ttl + seconds(1));
  log();
  deliver();
  EXPECT_EQ(stored_, from_to(1, 2));
}

TEST_F(DeliveryAuthTest, a_header_that_could_smuggle_another_is_a_failure) {
  options_.auth = []() -> Result<Headers> { return Headers{{"Authorization", "a\r\nX-Evil: 1"}}; };
  log();
  deliver();
  EXPECT_EQ(dropped(DropCause::retries_exhausted), 1U);
  EXPECT_THAT(gets(), IsEmpty());
}

TEST_F(DeliveryAuthTest, a_callback_that_throws_is_a_failure) {
  options_.auth = []() -> Result<Headers> { throw std::runtime_error("boom"); };
  log();
  deliver();
  EXPECT_EQ(dropped(DropCause::retries_exhausted), 1U);
}

TEST_F(DeliveryTest, a_401_without_a_callback_drops_at_once) {
  server_ = [](const Received&) { return answer(401); };
  log(3);
  deliver();
  EXPECT_THAT(posts(), SizeIs(1));
  EXPECT_EQ(dropped(DropCause::unauthorized), 3U);
}

// ---- 415

TEST_F(DeliveryTest, a_415_asks_what_the_api_takes_and_tries_once_more) {
  server_ = [this](const Received& request) {
    if (header(request, "Content-Encoding").empty()) return answer(200);
    health_ = answer(200, R"({"batch":{"max_records":10}})");
    return answer(415);
  };
  log(3);
  deliver();
  EXPECT_EQ(stored_, from_to(1, 3));
  EXPECT_THAT(posts(), SizeIs(2));
  EXPECT_THAT(gets(), SizeIs(2));
}

TEST_F(DeliveryTest, a_second_415_drops_the_batch_as_refused) {
  server_ = [](const Received&) { return answer(415); };
  log(3);
  deliver();
  EXPECT_THAT(posts(), SizeIs(2));
  EXPECT_EQ(dropped(DropCause::refused), 3U);
}

// ---- reports

TEST_F(DeliveryTest, a_report_never_repeats_what_was_logged_nor_credentials) {
  options_.headers = {{"Authorization", "Bearer secret-token"}};
  server_ = [](const Received&) {
    return answer(404, "you sent <the patient's name is Smith> with Bearer secret-token");
  };
  log_text("the patient's name is Smith");
  deliver();
  ASSERT_THAT(reports_, SizeIs(1));
  EXPECT_THAT(reports_[0], AllOf(HasSubstr("you sent <***> with"), Not(HasSubstr("Smith")),
                                 Not(HasSubstr("secret-token"))));
  EXPECT_THAT(stats().last_error, Not(HasSubstr("Smith")));
}

TEST_F(DeliveryTest, one_line_for_each_cause_in_thirty_seconds) {
  server_ = [](const Received&) { return answer(404); };
  for (int i = 0; i < 10; ++i) {
    log(2);
    deliver();
  }
  EXPECT_THAT(reports_, SizeIs(1));
  clock_.advance(seconds(31));
  log(2);
  deliver();
  ASSERT_THAT(reports_, SizeIs(2)) << "of two records and of the notice that 20 were dropped";
  EXPECT_THAT(reports_[1], AllOf(HasSubstr("3 records"), HasSubstr("18 more")));
}

TEST_F(DeliveryTest, drops_at_a_full_queue_are_reported) {
  limits_.capacity_bytes = 64 << 10;
  limits_.segment_bytes = 4 << 10;
  for (int i = 0; i < 100; ++i) log_text(std::string(1000, 'x'));
  deliver();
  EXPECT_GT(dropped(DropCause::queue_full), 0U);
  ASSERT_THAT(reports_, SizeIs(1));
  EXPECT_THAT(reports_[0], HasSubstr(std::to_string(dropped(DropCause::queue_full)) + " records"));
}

TEST_F(DeliveryTest, records_too_large_for_the_queue_are_reported) {
  limits_.capacity_bytes = 64 << 10;
  log_text(std::string(60'000, 'x'));
  log();
  deliver();
  EXPECT_EQ(dropped(DropCause::too_large), 1U);
  EXPECT_THAT(reports_, ElementsAre(HasSubstr("too_large")));
}

// ---- closing

TEST_F(DeliveryTest, closing_delivers_what_is_left_without_waiting_for_full_batches) {
  log(3);
  close(seconds(5));
  EXPECT_FALSE(run());
  EXPECT_EQ(stored_, from_to(1, 3));
  EXPECT_EQ(clock_.elapsed(), milliseconds(0));
  EXPECT_EQ(delivery().left_over(), 0U);
  EXPECT_THAT(reports_, IsEmpty());
}

TEST_F(DeliveryTest, where_memory_fails_it_gives_up_when_closing_has_had_its_time) {
  log(3);
  EXPECT_FALSE(delivery().give_up());
  close(seconds(5));
  EXPECT_FALSE(delivery().give_up());
  clock_.advance(seconds(5));
  EXPECT_TRUE(delivery().give_up());
  EXPECT_EQ(delivery().left_over(), 3U);
}

TEST_F(DeliveryTest, closing_with_nothing_left_ends_at_once) {
  close(seconds(5));
  EXPECT_FALSE(run());
  EXPECT_THAT(gets(), IsEmpty());
}

TEST_F(DeliveryTest, closing_hurries_one_waiting_retry) {
  int tries = 0;
  server_ = [&](const Received&) { return ++tries == 1 ? answer(503, "", "60") : answer(200); };
  log(2);
  flush();
  run_until_posts(1);
  ASSERT_TRUE(delivery().step());  // the answer: a minute to wait
  close(seconds(5));
  EXPECT_FALSE(run());
  EXPECT_EQ(stored_, from_to(1, 2));
  EXPECT_LT(clock_.elapsed(), seconds(1));
}

TEST_F(DeliveryTest, closing_gives_up_where_the_next_retry_would_come_too_late) {
  server_ = [](const Received&) { return answer(503, "", "60"); };
  log(2);
  close(seconds(5));
  EXPECT_FALSE(run());
  EXPECT_LE(posts().size(), 2U);
  EXPECT_LT(clock_.elapsed(), seconds(5));
  EXPECT_EQ(dropped(DropCause::closed), 2U);
  EXPECT_EQ(delivery().left_over(), 2U);
  ASSERT_FALSE(reports_.empty());
  EXPECT_THAT(reports_.back(),
              AllOf(HasSubstr("2 records"), HasSubstr("close_timeout"), HasSubstr("503")));
}

TEST_F(DeliveryTest, at_the_deadline_a_request_under_way_is_given_up) {
  server_ = [](const Received&) { return hanging(); };
  log(2);
  flush();
  run_until_posts(1);
  log(3);
  close(seconds(2));
  EXPECT_FALSE(run());
  EXPECT_EQ(clock_.elapsed(), seconds(2));
  EXPECT_EQ(transport_.cancelled, 1);
  EXPECT_EQ(dropped(DropCause::closed), 5U);
}

TEST_F(DeliveryTest, a_hanging_server_cannot_keep_a_close_beyond_its_deadline) {
  server_ = [](const Received&) { return hanging(); };
  log(5);
  close(seconds(12));
  EXPECT_FALSE(run());
  EXPECT_LE(clock_.elapsed(), seconds(12));
  EXPECT_EQ(stats().pending, 0U);
  EXPECT_EQ(dropped(DropCause::closed) + dropped(DropCause::retries_exhausted), 5U);
}

TEST_F(DeliveryTest, the_last_report_tells_of_those_that_were_held_back) {
  server_ = [](const Received&) { return answer(404); };
  for (int i = 0; i < 3; ++i) {
    log(2);
    deliver();
  }
  close(seconds(1));
  EXPECT_FALSE(run());
  ASSERT_THAT(reports_, SizeIs(2));
  EXPECT_THAT(reports_[1], AllOf(HasSubstr("4 records"), HasSubstr("refused")));
}

// ---- several requests under way

Answer after(milliseconds time, Answer given) {
  given.after = time;
  return given;
}

// Batches of ten, and an API that has accepted the first one.
class DeliveryBesideTest : public DeliveryTest {
 protected:
  DeliveryBesideTest() {
    options_.batch_size = 10;
    server_ = [this](const Received& request) {
      Answer given = answer(200);
      if (const auto found = answers_.find(numbers(request).front()); found != answers_.end()) {
        given = std::exchange(found->second, answer(200));  // and the second time all is well
      }
      given.after = std::max(given.after, round_trip_);
      given.response.round_trip = round_trip_;
      return given;
    };
    health_ = answer(200, R"({"batch":{"max_records":1000},"formats":["ndjson"]})");
  }

  void begin() {
    log(10);
    deliver();
  }
  std::vector<milliseconds> times() const {
    std::vector<milliseconds> times;
    for (const auto& post : posts()) times.push_back(post.at - posts()[1].at);
    return times;
  }

  milliseconds round_trip_{100};
  std::map<std::uint64_t, Answer> answers_;  // by the first record of the request
};

TEST_F(DeliveryBesideTest, batches_that_are_full_share_a_long_round_trip) {
  begin();
  log(60);
  deliver();
  EXPECT_EQ(stored_, from_to(1, 70));
  EXPECT_THAT(times(),
              ElementsAre(milliseconds(-100), milliseconds(0), milliseconds(25), milliseconds(50),
                          milliseconds(75), milliseconds(100), milliseconds(125)));
  EXPECT_EQ(transport_.most_under_way, 4U);
  EXPECT_THAT(gets(), SizeIs(1));
}

TEST_F(DeliveryBesideTest, in_a_short_round_trip_there_is_one) {
  round_trip_ = milliseconds(19);
  begin();
  log(60);
  deliver();
  EXPECT_EQ(transport_.most_under_way, 1U);
}

// It might store them in another order.
TEST_F(DeliveryBesideTest, a_slow_server_nearby_gets_one_at_a_time) {
  server_ = [](const Received&) {
    Answer given = after(milliseconds(300), answer(200));
    given.response.round_trip = std::chrono::microseconds(300);
    return given;
  };
  begin();
  log(60);
  deliver();
  EXPECT_EQ(transport_.most_under_way, 1U);
}

TEST_F(DeliveryBesideTest, half_of_the_queue_is_left_to_newer_records) {
  options_.queue_bytes = 1 << 20;
  options_.batch_bytes = 200 << 10;
  begin();
  log(60);
  deliver();
  EXPECT_EQ(transport_.most_under_way, 2U);
}

TEST_F(DeliveryBesideTest,
       a_batch_that_is_not_full_waits_for_its_time_and_then_not_for_the_answer) {
  options_.flush_interval = milliseconds(50);
  begin();
  log(10);
  run_until_posts(2);
  log(3);
  run();
  EXPECT_THAT(times(), ElementsAre(milliseconds(-100), milliseconds(0), milliseconds(75)));
}

TEST_F(DeliveryBesideTest, a_record_that_fills_a_batch_ends_the_wait_for_the_answer) {
  begin();
  log(10);
  run_until_posts(2);
  clock_.advance(milliseconds(30));
  transport_.during_poll = [this] {
    transport_.during_poll = nullptr;
    log(10);
  };
  run_until_posts(3);
  EXPECT_EQ(posts().back().at - posts()[1].at, milliseconds(30));
}

TEST_F(DeliveryBesideTest, no_more_than_one_goes_to_an_api_that_says_nothing_of_batches) {
  options_.batch_size = 0;
  health_ = answer(200, "OK");
  log(10);
  deliver();
  EXPECT_EQ(stored_, from_to(1, 10));
  EXPECT_EQ(transport_.most_under_way, 1U);
}

// They might share a slow line, and all time out.
TEST_F(DeliveryBesideTest, no_more_than_one_goes_where_two_might_take_half_the_timeout) {
  options_.timeout = seconds(5);
  round_trip_ = milliseconds(1'300);
  begin();
  log(30);
  deliver();
  EXPECT_EQ(transport_.most_under_way, 1U);
  round_trip_ = milliseconds(1'200);
  log(10);
  deliver();  // from here on it is known that answers come sooner
  log(30);
  deliver();
  EXPECT_EQ(transport_.most_under_way, 2U);
}

TEST_F(DeliveryBesideTest, answers_take_effect_in_the_order_of_the_records) {
  begin();
  answers_[11] = after(milliseconds(500), answer(200));
  log(40);
  flush();
  run_until([&] { return posts().size() == 5; });
  clock_.advance(milliseconds(300));
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(delivery().step());
  EXPECT_EQ(journal().settled_through(), 10U) << "the three behind are answered";
  run();
  EXPECT_EQ(journal().settled_through(), 50U);
  EXPECT_THAT(posts(), SizeIs(5));
}

TEST_F(DeliveryBesideTest, what_failed_is_sent_again_and_nothing_twice) {
  for (const std::uint64_t failing : {11, 21, 31, 41}) answers_[failing] = answer(503);
  answers_[31] = unreachable();
  begin();
  log(80);
  deliver();
  std::sort(stored_.begin(), stored_.end());
  EXPECT_EQ(stored_, from_to(1, 90));
  EXPECT_EQ(stats().retries, 4U);
  EXPECT_LT(clock_.elapsed(), seconds(3)) << "all wait for their second try at the same time";
}

TEST_F(DeliveryBesideTest, one_goes_at_a_time_from_a_failure_to_the_next_success) {
  answers_[11] = answer(503);
  begin();
  log(80);
  flush();
  run_until([&] { return stats().retries == 1; });
  EXPECT_THAT(posts(), SizeIs(6)) << "the first, four at once, and again what failed of them";
  run();
  EXPECT_THAT(posts(), SizeIs(10));
}

TEST_F(DeliveryBesideTest, a_failure_behind_a_batch_that_is_under_way_ends_it_too) {
  answers_[11] = after(milliseconds(1'000), answer(200));
  answers_[21] = answer(503);
  begin();
  log(20);
  run_until_posts(3);
  clock_.advance(milliseconds(200));
  ASSERT_TRUE(delivery().step());  // the failure is there
  log(20);
  flush();
  run_until([&] { return journal().settled_through() == 20; });
  EXPECT_THAT(posts(), SizeIs(3));
  run();
  EXPECT_EQ(stats().delivered, 50U);
}

TEST_F(DeliveryBesideTest, a_retry_after_counts_from_its_answer) {
  answers_[11] = after(milliseconds(700), answer(200));
  answers_[21] = answer(429, "", "2");
  begin();
  log(20);
  deliver();
  EXPECT_THAT(times(), ElementsAre(milliseconds(-100), milliseconds(0), milliseconds(25),
                                   milliseconds(2'125)));
}

TEST_F(DeliveryBesideTest, a_batch_that_is_too_large_is_split_while_others_are_under_way) {
  answers_[11] = answer(413);
  answers_[31] = answer(400, "who knows");
  begin();
  log(40);
  deliver();
  std::sort(stored_.begin(), stored_.end());
  EXPECT_EQ(stored_, from_to(1, 50));
}

TEST_F(DeliveryBesideTest, refused_credentials_drop_nothing_that_another_answer_has_accepted) {
  answers_[11] = answer(401);
  answers_[31] = answer(401);
  begin();
  log(40);
  deliver();
  EXPECT_EQ(dropped(DropCause::unauthorized), 20U);
  EXPECT_EQ(stats().delivered, 30U);
  EXPECT_EQ(stored_.size(), 30U);
}

TEST_F(DeliveryBesideTest, closing_counts_what_was_accepted_behind_one_that_was_not) {
  begin();
  answers_[11] = hanging();
  answers_[31] = hanging();
  log(40);
  close(seconds(2));
  EXPECT_FALSE(run());
  EXPECT_EQ(stats().delivered, 30U) << "as many as were stored";
  EXPECT_EQ(dropped(DropCause::closed), 20U);
  EXPECT_EQ(delivery().left_over(), 20U);
  ASSERT_THAT(reports_, SizeIs(1));
  EXPECT_THAT(reports_[0], HasSubstr("20 records"));
  EXPECT_EQ(transport_.cancelled, 2);
}

TEST_F(DeliveryBesideTest, a_connection_for_one_request_more_is_no_reconnect) {
  begin();
  for (const std::uint64_t first : {21, 31, 41}) {
    answers_[first] = answer(200);
    answers_[first].response.new_connection = true;
  }
  log(60);
  deliver();
  EXPECT_THAT(gets(), SizeIs(1));
  answers_[81] = answer(200);
  answers_[81].response.new_connection = true;
  log(40);
  deliver();
  log(10);
  deliver();
  EXPECT_THAT(gets(), SizeIs(2)) << "there were enough already";
}

// ---- bodies are made once

// Counts, and takes its time of the fake clock.
class SlowCompressor : public Compressor {
 public:
  SlowCompressor(testing::FakeClock& clock, const milliseconds& time, int& bodies)
      : clock_(clock), time_(time), bodies_(bodies) {}
  bool compress(Encoding encoding, Strength strength, std::string_view body,
                std::string& out) override {
    ++bodies_;
    clock_.advance(time_);
    return Compressor::compress(encoding, strength, body, out);
  }

 private:
  testing::FakeClock& clock_;
  const milliseconds& time_;
  int& bodies_;
};

class DeliveryCompressionTest : public DeliveryTest {
 protected:
  DeliveryCompressionTest() {
    options_.batch_size = 10;
    compressor_ = [this] { return std::make_unique<SlowCompressor>(clock_, time_, bodies_); };
    server_ = [this](const Received&) {
      Answer given = after(answering_, answer(200));
      given.response.round_trip = answering_;
      return given;
    };
  }
  std::string last_encoding() const { return header(posts().back().request, "Content-Encoding"); }

  milliseconds time_{0};
  milliseconds answering_{0};
  int bodies_ = 0;
};

TEST_F(DeliveryCompressionTest, a_body_that_is_sent_again_is_not_compressed_again) {
  int tries = 0;
  server_ = [&](const Received&) { return ++tries < 4 ? answer(503) : answer(200); };
  log(10);
  deliver();
  EXPECT_THAT(posts(), SizeIs(4));
  EXPECT_EQ(bodies_, 1);
  EXPECT_EQ(posts()[3].request.content, posts()[0].request.content);
}

TEST_F(DeliveryCompressionTest, the_parts_of_a_batch_that_was_split_have_bodies_of_their_own) {
  int tries = 0;
  server_ = [&](const Received&) { return ++tries == 1 ? answer(413) : answer(200); };
  log(10);
  deliver();
  EXPECT_EQ(stored_, from_to(1, 10));
  EXPECT_EQ(bodies_, 3);
}

TEST_F(DeliveryCompressionTest, an_api_that_no_longer_takes_an_encoding_gets_another) {
  int tries = 0;
  server_ = [&](const Received&) {
    if (++tries > 1) return answer(200);
    health_ = answer(200, R"({"batch":{"max_records":1000},"encodings":["gzip"]})");
    return answer(415);
  };
  log(10);
  deliver();
  EXPECT_EQ(stored_, from_to(1, 10));
  EXPECT_EQ(last_encoding(), "gzip");
  EXPECT_EQ(bodies_, 2);
}

TEST_F(DeliveryCompressionTest, is_given_up_where_it_does_not_keep_up_and_taken_up_again) {
  time_ = milliseconds(10);
  log(200);
  deliver();
  EXPECT_EQ(last_encoding(), "");
  EXPECT_EQ(stored_, from_to(1, 200));
  clock_.advance(seconds(1));
  for (int second = 0; second < 4; ++second) {
    log(10);
    deliver();
    log(1);
    run();  // there is time: it waits for a batch to fill
    clock_.advance(seconds(1));
  }
  EXPECT_EQ(last_encoding(), "zstd");
}

TEST_F(DeliveryCompressionTest, is_kept_up_over_a_slow_network) {
  time_ = milliseconds(10);
  answering_ = milliseconds(100);
  log(1'000);
  deliver();
  EXPECT_EQ(last_encoding(), "zstd");
}

TEST_F(DeliveryCompressionTest, that_was_asked_for_is_never_given_up) {
  options_.compression = Compression::gzip;
  time_ = milliseconds(10);
  log(1'000);
  deliver();
  EXPECT_EQ(last_encoding(), "gzip");
}

// ---- under chance

// A server of moods: whatever it answers, each record is stored or counted, and stays in order
// where one request is under way at a time.
class DeliveryMoodsTest : public DeliveryTest,
                          public ::testing::WithParamInterface<milliseconds> {};

TEST_P(DeliveryMoodsTest, books_add_up_whatever_the_server_answers) {
  testing::Random random;
  options_.batch_size = 17;
  const milliseconds longest = GetParam();
  limits_ = {
      .capacity_bytes = 64 << 10, .segment_bytes = 4 << 10, .overflow = Overflow::drop_oldest};
  transport_.on_get = [&](const Received&) {
    switch (random.below(5)) {
      case 0:
        return unreachable();
      case 1:
        return answer(200, random.bytes(50));
      default:
        return health_;
    }
  };
  server_ = [&](const Received& request) {
    constexpr int kStatuses[] = {200, 200, 200, 200, 204, 301, 400, 401,
                                 403, 404, 413, 415, 422, 429, 500, 503};
    switch (random.below(12)) {
      case 0:
        return unreachable();
      case 1:
        return longest > milliseconds(0) ? hanging() : unreachable();
      case 2: {
        const std::size_t count = numbers(request).size();
        return answer(400, "{\"stored\":" + std::to_string(count - 1) + ",\"errors\":[{\"index\":" +
                               std::to_string(random.below(count)) + "}]}");
      }
      default: {
        Answer given = answer(kStatuses[random.below(std::size(kStatuses))], random.bytes(30));
        given.response.new_connection = random.one_in(4);
        given.response.round_trip = longest;
        given.after = milliseconds(random.below(static_cast<std::uint64_t>(longest.count()) + 1));
        return given;
      }
    }
  };
  for (int i = 0; i < 3000; ++i) {
    if (random.one_in(50)) {
      log_text(std::string(3000, 'L'));
    } else {
      log(static_cast<int>(random.below(20)));
    }
    ASSERT_TRUE(delivery().step());
    expect_books_add_up();
    if (random.one_in(10)) flush();
  }
  close(seconds(30));
  EXPECT_FALSE(run());
  EXPECT_EQ(stats().pending, 0U);
  EXPECT_EQ(stats().pending_bytes, 0U);
  EXPECT_EQ(transport_.most_under_way, longest > milliseconds(0) ? 4U : 1U);
  if (transport_.most_under_way == 1) {
    EXPECT_TRUE(std::is_sorted(stored_.begin(), stored_.end())) << "out of order";
  }
  EXPECT_EQ(std::set(stored_.begin(), stored_.end()).size(), stored_.size()) << "stored twice";
}

INSTANTIATE_TEST_SUITE_P(answers, DeliveryMoodsTest,
                         ::testing::Values(milliseconds(0), milliseconds(200)));

// ---- with a spool

class DeliverySpoolTest : public DeliveryTest {
 protected:
  DeliverySpoolTest() {
    spools_ = true;
    EXPECT_TRUE(files_.make_directory("/spool").ok());
  }
};

TEST_F(DeliverySpoolTest, an_outage_drops_nothing_and_is_told_of) {
  int failures = 20;
  server_ = [&](const Received&) { return failures-- > 0 ? unreachable() : answer(200); };
  log(3);
  run_until([this] { return stats().delivered == 3; });
  EXPECT_EQ(stats().dropped_total(), 0U);
  ASSERT_FALSE(reports_.empty());
  EXPECT_THAT(reports_[0], HasSubstr("records are kept in the spool until they can be delivered"));
  EXPECT_THAT(stored_, ElementsAre(1, 2, 3));
}

TEST_F(DeliverySpoolTest, what_is_kept_releases_log_calls_that_wait) {
  server_ = [](const Received&) { return unreachable(); };
  log();
  run_until([this] { return delivery().kept_through() == 1; });
  EXPECT_EQ(posts().size(), 4U) << "one try and three retries";
}

TEST_F(DeliverySpoolTest, refused_credentials_hold_records_until_they_are_accepted) {
  int refusals = 10;
  server_ = [&](const Received&) { return answer(refusals-- > 0 ? 401 : 200); };
  log(2);
  run_until([this] { return stats().delivered == 2; });
  EXPECT_EQ(stats().dropped_total(), 0U);
}

TEST_F(DeliverySpoolTest, records_of_a_dead_process_are_delivered_under_their_own_numbers) {
  server_ = [](const Received&) { return unreachable(); };
  log(3);
  run_until([this] { return posts().size() == 1; });
  const std::string dead = journal().id();
  restart();
  server_ = [](const Received&) { return answer(200); };
  transport_.posts.clear();
  log(2);
  run_until([this] { return stats().adopted_delivered == 3 && stats().delivered == 2; });
  EXPECT_THAT(stored_, ::testing::UnorderedElementsAre(1, 2, 3, 4, 5));
  for (const auto& post : posts()) {
    const bool adopted = header(post.request, "Log-Aggregator-Journal") == dead;
    EXPECT_EQ(header(post.request, "Log-Aggregator-Sequence"), adopted ? "1-3" : "1-2");
  }
  run_until([&] { return files_.paths().size() == 3; });  // of this process: lock, cursor, segment
}

TEST_F(DeliverySpoolTest, a_process_that_logs_nothing_delivers_what_it_finds) {
  log(3);
  delivery().step();
  restart();
  run_until([this] { return stats().adopted_delivered == 3; });
  EXPECT_EQ(stats().accepted, 0U);
}

TEST_F(DeliverySpoolTest, what_is_missing_in_an_orphan_is_told_of_and_counted) {
  for (int i = 0; i < 10; ++i) log_text(std::string(100'000, 'x'));
  restart();
  for (const std::string& path : files_.paths()) {
    if (path.ends_with("2.segment")) {
      EXPECT_TRUE(files_.remove(path).ok());
    }
  }
  run_until([this] { return !reports_.empty(); });
  EXPECT_GT(stats().adopted_dropped, 0U);
  EXPECT_EQ(stats().adopted_delivered + stats().adopted_dropped, 10U);
  EXPECT_THAT(reports_, ElementsAre(HasSubstr("of an earlier process are lost")));
}

TEST_F(DeliverySpoolTest,
       what_is_missing_is_counted_by_the_process_that_passes_it_and_by_no_other) {
  options_.batch_size = 3;
  for (int i = 0; i < 10; ++i) log_text(std::string(100'000, 'x'));
  const std::string id = journal().id();
  restart();
  ASSERT_TRUE(files_.remove("/spool/" + id + "/0000000000000002.segment").ok());
  server_ = [&](const Received&) { return posts().size() <= 1 ? answer(200) : unreachable(); };
  run_until([this] { return posts().size() == 3; });
  EXPECT_EQ(stats().adopted_delivered, 3U);
  EXPECT_EQ(stats().adopted_dropped, 2U) << "behind the cursor";
  restart();
  server_ = [](const Received&) { return answer(200); };
  run_until([&] { return stats().adopted_delivered == 5U; });
  EXPECT_EQ(stats().adopted_dropped, 0U);
}

TEST_F(DeliverySpoolTest, a_report_of_many_missing_ranges_shows_the_first_of_them) {
  log(50);
  const std::string segment = "/spool/" + journal().id() + "/0000000000000001.segment";
  restart();
  const std::string whole = files_.read_file(segment);
  for (int n = 2; n <= 50; n += 2) {
    const auto place = whole.find("{\"n\":" + std::to_string(n) + "}");
    ASSERT_NE(place, std::string::npos);
    files_.flip_bit(segment, place * 8);
  }
  run_until([this] { return !reports_.empty(); });
  EXPECT_EQ(stats().adopted_dropped, 25U);
  EXPECT_THAT(reports_, ElementsAre(HasSubstr("numbers 2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16,"
                                              "18-18,20-20 and 15 more ranges")));
}

TEST_F(DeliverySpoolTest, an_orphan_that_cannot_be_read_does_not_keep_the_others_waiting) {
  log(3);
  delivery().step();
  const std::string unreadable = "/spool/" + journal().id() + "/0000000000000001.segment";
  restart();
  log(2);
  delivery().step();
  restart();
  const std::string contents = files_.read_file(unreadable);
  EXPECT_TRUE(files_.remove(unreadable).ok());
  EXPECT_TRUE(files_.make_directory(unreadable).ok());
  run_until([this] { return stats().adopted_delivered == 2; });
  EXPECT_TRUE(files_.remove_directory(unreadable).ok());
  files_.write_file(unreadable, contents);
  run_until([this] { return stats().adopted_delivered == 5; });
}

TEST_F(DeliverySpoolTest, closing_leaves_what_is_not_delivered_to_the_next_process) {
  server_ = [](const Received&) { return unreachable(); };
  log(3);
  close(seconds(5));
  EXPECT_FALSE(run());
  EXPECT_EQ(stats().pending, 3U);
  EXPECT_EQ(stats().dropped_total(), 0U);
  EXPECT_EQ(delivery().left_over(), 3U);
  EXPECT_THAT(reports_, ::testing::Contains(HasSubstr("3 records stay in the spool")));
  restart();
  server_ = [](const Received&) { return answer(200); };
  run_until([this] { return stats().adopted_delivered == 3; });
}

TEST_F(DeliverySpoolTest, closing_does_not_wait_for_an_orphan_that_cannot_be_delivered) {
  log(3);
  delivery().step();
  restart();
  server_ = [](const Received&) { return unreachable(); };
  const auto before = clock_.now();
  close(seconds(5));
  EXPECT_FALSE(run());
  EXPECT_LT(clock_.now() - before, seconds(1));
}

TEST_F(DeliverySpoolTest, nothing_is_left_behind_when_all_was_delivered) {
  log(100);
  close(seconds(5));
  EXPECT_FALSE(run());
  EXPECT_THAT(files_.paths(), IsEmpty());
}

TEST_F(DeliverySpoolTest, a_full_disk_is_told_of_and_costs_no_record) {
  files_.set_capacity(0);
  log(10);
  run_until([this] { return stats().delivered == 10; });
  EXPECT_THAT(reports_, ::testing::Contains(HasSubstr("No space left on device")));
}

// ---- what was given up

TEST_F(DeliveryTest, numbers_that_were_given_up_are_declared_until_acknowledged) {
  server_ = [](const Received& request) {
    return numbers(request) == std::vector<std::uint64_t>{2} ? answer(422) : answer(200);
  };
  log();
  deliver();
  log();
  deliver();
  server_ = [](const Received&) { return answer(503); };
  log();
  flush();
  run_until([this] { return posts().size() == 3; });
  server_ = [](const Received&) { return answer(200); };
  deliver();
  log();
  deliver();
  const auto skipped = [this](std::size_t i) {
    return header(posts()[i].request, "Log-Aggregator-Skipped");
  };
  ASSERT_THAT(posts(), SizeIs(5));
  EXPECT_EQ(skipped(1), "");
  EXPECT_EQ(skipped(2), "2-2");
  EXPECT_EQ(skipped(3), "2-2") << "it was not acknowledged";
  EXPECT_EQ(skipped(4), "");
}

TEST_F(DeliveryTest, a_notice_tells_the_api_of_drops_once_in_thirty_seconds) {
  server_ = [](const Received& request) {
    return numbers(request).empty() ? answer(200) : answer(422);
  };
  log(3);
  deliver();
  const auto before = posts().size();
  run_until([&] { return posts().size() > before; });
  const Received& notice = posts().back().request;
  EXPECT_THAT(
      testing::decoded(header(notice, "Content-Encoding"), notice.content),
      AllOf(HasSubstr(R"("logger_name":"log_aggregator.dropped")"),
            HasSubstr(R"("dropped":{"refused":{"INFO":3}})"), HasSubstr("3 records were dropped")));
  EXPECT_GE(clock_.elapsed(), seconds(30));
  EXPECT_TRUE(run());
  EXPECT_EQ(posts().size(), before + 1);
}

TEST_F(DeliveryTest, closing_tells_of_drops_at_once) {
  server_ = [](const Received& request) {
    return numbers(request) == std::vector<std::uint64_t>{1} ? answer(422) : answer(200);
  };
  options_.batch_size = 1;
  log(2);
  deliver();
  close(seconds(5));
  EXPECT_FALSE(run());
  const Received& last = posts().back().request;
  EXPECT_THAT(testing::decoded(header(last, "Content-Encoding"), last.content),
              HasSubstr("1 record was dropped"));
  EXPECT_LT(clock_.elapsed(), seconds(5));
}

TEST_F(DeliveryTest, a_notice_that_is_dropped_itself_is_not_told_of) {
  server_ = [](const Received&) { return answer(422); };
  log();
  deliver();
  run_until([this] { return stats().dropped_total() == 2; });
  const auto count = posts().size();
  clock_.advance(seconds(100));
  EXPECT_TRUE(run());
  EXPECT_EQ(posts().size(), count);
}

}  // namespace
}  // namespace log_aggregator
