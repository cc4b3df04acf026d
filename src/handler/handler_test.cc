#include "log_aggregator/handler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "src/base/mutex.h"
#include "src/handler/record_writer.h"
#include "src/testing/loopback_server.h"
#include "src/testing/own_process.h"
#include "src/testing/sent_records.h"

namespace log_aggregator {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using ::testing::AllOf;
using testing::descriptors;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::Received;
using testing::Reply;
using ::testing::SizeIs;
using testing::threads;

constexpr int kInfo = 20;
constexpr int kWarning = 30;

// Waits for what other threads bring about.
bool becomes_true(const std::function<bool()>& condition) {
  const auto deadline = steady_clock::now() + seconds(20);
  while (!condition()) {
    if (steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

// ---- what create() refuses

struct BadOption {
  const char* name;
  std::function<void(Options&)> spoil;
  const char* says;
};

class BadOptionTest : public ::testing::TestWithParam<BadOption> {};

TEST_P(BadOptionTest, is_refused_with_its_name) {
  Options options;
  options.api_endpoint = "http://127.0.0.1:9/api/logs";
  GetParam().spoil(options);
  const auto handler = Handler::create(std::move(options));
  ASSERT_FALSE(handler.ok());
  EXPECT_EQ(handler.status().code(), StatusCode::invalid_argument);
  EXPECT_THAT(handler.status().message(), HasSubstr(GetParam().says));
}

const BadOption kBadOptions[] = {
    {"no_endpoint", [](Options& o) { o.api_endpoint = ""; }, "api_endpoint"},
    {"endpoint_without_scheme", [](Options& o) { o.api_endpoint = "host/api"; }, "api_endpoint"},
    {"unknown_scheme", [](Options& o) { o.api_endpoint = "ftp://host/api"; }, "api_endpoint"},
    {"no_timeout", [](Options& o) { o.timeout = milliseconds(0); }, "timeout"},
    {"negative_timeout", [](Options& o) { o.timeout = milliseconds(-1); }, "timeout"},
    {"no_auth_ttl", [](Options& o) { o.auth_ttl = milliseconds(0); }, "auth_ttl"},
    {"negative_attempts", [](Options& o) { o.retry_attempts = -1; }, "retry_attempts"},
    {"negative_delay", [](Options& o) { o.retry_delay = milliseconds(-1); }, "retry_delay"},
    {"negative_interval", [](Options& o) { o.flush_interval = milliseconds(-1); },
     "flush_interval"},
    {"negative_block", [](Options& o) { o.block_timeout = milliseconds(-1); }, "block_timeout"},
    {"negative_close", [](Options& o) { o.close_timeout = milliseconds(-1); }, "close_timeout"},
    {"no_batch_bytes", [](Options& o) { o.batch_bytes = 0; }, "batch_bytes"},
    {"small_queue", [](Options& o) { o.queue_bytes = 65'535; }, "queue_bytes"},
    {"small_records", [](Options& o) { o.max_record_bytes = 1'023; }, "max_record_bytes"},
    {"missing_ca_file", [](Options& o) { o.ca_file = "/nonexistent.pem"; }, "ca_file"},
    {"missing_cert", [](Options& o) { o.client_cert = "/nonexistent.pem"; }, "client_cert"},
    {"missing_key",
     [](Options& o) {
       o.client_cert = "/dev/null";
       o.client_key = "/nonexistent.pem";
     },
     "client_key"},
    {"key_without_cert", [](Options& o) { o.client_key = "/dev/null"; }, "client_key"},
    {"bad_proxy", [](Options& o) { o.proxy = "http://:::"; }, "proxy"},
    {"header_without_name",
     [](Options& o) {
       o.headers = {{"", "x"}};
     },
     "header"},
    {"header_name_with_colon",
     [](Options& o) {
       o.headers = {{"A:b", "x"}};
     },
     "header"},
    {"header_with_line_break",
     [](Options& o) {
       o.headers = {{"A", "x\r\nB: y"}};
     },
     "header A"},
    {"header_with_nul",
     [](Options& o) {
       o.headers = {{"A", std::string("x\0y", 3)}};
     },
     "header A"},
    {"host_with_line_break", [](Options& o) { o.host = "a\nb"; }, "host"},
    {"field_of_a_record",
     [](Options& o) {
       o.fields = {{"message", "1"}};
     },
     "message"},
    {"field_that_is_no_json",
     [](Options& o) {
       o.fields = {{"service", "{"}};
     },
     "service"},
    {"field_without_a_name",
     [](Options& o) {
       o.fields = {{"", "1"}};
     },
     "fields"},
    {"field_that_comes_twice",
     [](Options& o) {
       o.fields = {{"service", "1"}, {"service", "2"}};
     },
     "service"},
    {"fields_longer_than_records",
     [](Options& o) {
       o.fields = {{"service", '"' + std::string(2 << 20, 'x') + '"'}};
     },
     "max_record_bytes"},
};

INSTANTIATE_TEST_SUITE_P(Option, BadOptionTest, ::testing::ValuesIn(kBadOptions),
                         [](const auto& option) { return std::string(option.param.name); });

// ---- a handler at a real server

// Logs while it is written.
struct LoggingValue {
  Handler* handler;
};
void to_log_json(JsonWriter& json, const LoggingValue& value) {
  value.handler->log(Level::info, "inner");
  json.null();
}

class HandlerTest : public ::testing::Test {
 protected:
  HandlerTest() {
    options_.api_endpoint = server_.url("/api/logs");
    options_.close_timeout = seconds(20);
    options_.retry_delay = milliseconds(1);
    options_.flush_interval = milliseconds(0);
    options_.report = [this](std::string_view line) {
      const MutexLock lock(mutex_);
      reports_.emplace_back(line);
    };
  }

  Handler& handler() {
    if (!handler_) handler_ = Handler::create(options_).value();
    return *handler_;
  }

  bool log(std::uint64_t n) {
    return handler().log_json(kInfo, "{\"n\":" + std::to_string(n) + "}");
  }

  // What the server has answered with 2xx.
  std::vector<std::uint64_t> stored() const {
    const MutexLock lock(mutex_);
    return stored_;
  }
  std::vector<std::string> reports() const {
    const MutexLock lock(mutex_);
    return reports_;
  }
  Stats stats() { return handler().stats(); }
  std::uint64_t dropped(DropCause cause) { return stats().dropped_for(cause); }
  void expect_books_add_up() {
    const Stats now = stats();
    EXPECT_EQ(now.accepted, now.delivered + now.pending + now.dropped_total());
  }
  milliseconds elapsed() const {
    return std::chrono::duration_cast<milliseconds>(steady_clock::now() - begun_);
  }
  bool server_is_asked() { return server_.wait_for_requests(1); }

  // Changed by tests before their first record.
  std::function<Reply(const Received&)> post_ = [](const Received&) { return Reply{}; };
  std::function<Reply(const Received&)> health_ = [](const Received&) {
    return Reply{.body = R"({"batch":{"max_records":1000},"formats":["ndjson"]})", .headers = {}};
  };
  Options options_;
  const steady_clock::time_point begun_ = steady_clock::now();

 private:
  Reply serve(const Received& request) {
    if (request.method == "GET") return health_(request);
    Reply reply = post_(request);
    if (reply.way == Reply::Way::answer && reply.status / 100 == 2) {
      const auto sent = testing::numbers_of(
          testing::records_of(request.header("content-type"),
                              testing::decoded(request.header("content-encoding"), request.body)),
          "n");
      const MutexLock lock(mutex_);
      stored_.insert(stored_.end(), sent.begin(), sent.end());
    }
    return reply;
  }

  mutable Mutex mutex_;
  std::vector<std::uint64_t> stored_ GUARDED_BY(mutex_);
  std::vector<std::string> reports_ GUARDED_BY(mutex_);

 protected:
  testing::LoopbackServer server_{[this](const Received& request) { return serve(request); }};
  std::unique_ptr<Handler> handler_;
};

Reply hang(const Received&) { return {.body = {}, .headers = {}, .way = Reply::Way::hang}; }
Reply refuse(const Received&) { return {.status = 404, .body = "no", .headers = {}}; }

TEST_F(HandlerTest, records_arrive_in_order) {
  for (std::uint64_t n = 1; n <= 100; ++n) EXPECT_TRUE(log(n));
  EXPECT_TRUE(handler().flush());
  EXPECT_THAT(stored(), SizeIs(100));
  const auto numbers = stored();
  EXPECT_TRUE(std::is_sorted(numbers.begin(), numbers.end()));
  EXPECT_EQ(stats().delivered, 100U);
  EXPECT_EQ(stats().pending, 0U);
}

TEST_F(HandlerTest, nothing_is_started_or_opened_before_the_first_record) {
  const std::size_t threads_before = threads();
  const std::size_t descriptors_before = descriptors();
  handler();
  EXPECT_TRUE(handler().flush());
  EXPECT_EQ(threads(), threads_before);
  EXPECT_EQ(descriptors(), descriptors_before);
  EXPECT_TRUE(handler().close());
  EXPECT_EQ(threads(), threads_before);
}

TEST_F(HandlerTest, a_closed_handler_leaves_no_thread) {
  const std::size_t before = threads();
  const std::size_t server_threads = 1;
  log(1);
  EXPECT_TRUE(handler().close());
  EXPECT_TRUE(becomes_true([&] { return threads() <= before + server_threads; }));
}

TEST_F(HandlerTest, records_that_wait_for_a_full_batch_are_sent_by_a_flush) {
  options_.flush_interval = std::chrono::hours(1);
  log(1);
  EXPECT_TRUE(handler().flush());
  EXPECT_THAT(stored(), ElementsAre(1));
}

TEST_F(HandlerTest, records_that_wait_for_a_full_batch_are_sent_when_they_are_old_enough) {
  options_.flush_interval = milliseconds(20);
  log(1);
  EXPECT_TRUE(becomes_true([this] { return !stored().empty(); }));
}

TEST_F(HandlerTest, a_flush_is_false_after_a_loss) {
  post_ = refuse;
  log(1);
  EXPECT_FALSE(handler().flush());
  EXPECT_FALSE(handler().flush()) << "the loss does not heal";
  EXPECT_EQ(dropped(DropCause::refused), 1U);
  EXPECT_THAT(reports(), ElementsAre(AllOf(HasSubstr("1 record "), HasSubstr("404"))));
}

TEST_F(HandlerTest, a_flush_is_false_when_its_time_runs_out) {
  post_ = hang;
  log(1);
  EXPECT_FALSE(handler().flush(milliseconds(30)));
  EXPECT_GE(elapsed(), milliseconds(30));
  EXPECT_LT(elapsed(), seconds(5));
  handler().close(milliseconds(0));
}

TEST_F(HandlerTest, a_log_call_never_waits_for_a_hanging_server) {
  post_ = hang;
  health_ = hang;
  log(0);
  ASSERT_TRUE(server_is_asked());
  const auto before = steady_clock::now();
  for (std::uint64_t n = 1; n <= 1000; ++n) EXPECT_TRUE(log(n));
  EXPECT_LT(steady_clock::now() - before, seconds(2));
  handler().close(milliseconds(0));
  expect_books_add_up();
}

// ---- background off

TEST_F(HandlerTest, with_background_off_a_log_call_returns_after_the_verdict) {
  options_.background = false;
  options_.flush_interval = std::chrono::hours(1);
  EXPECT_TRUE(log(1));
  EXPECT_THAT(stored(), ElementsAre(1));
  EXPECT_TRUE(log(2));
  EXPECT_THAT(stored(), ElementsAre(1, 2));
}

TEST_F(HandlerTest, with_background_off_a_log_call_says_whether_its_record_was_delivered) {
  options_.background = false;
  post_ = [](const Received& request) {
    return Reply{.status = request.body.find('2') == std::string::npos ? 200 : 404,
                 .body = {},
                 .headers = {}};
  };
  EXPECT_TRUE(log(1));
  EXPECT_FALSE(log(2));
  EXPECT_TRUE(log(3)) << "an earlier loss is not this record's";
}

TEST_F(HandlerTest, with_background_off_callbacks_run_on_the_logging_thread) {
  options_.background = false;
  options_.flush_interval = std::chrono::hours(1);
  std::thread::id asked_on;
  options_.auth = [&]() -> Result<Headers> {
    asked_on = std::this_thread::get_id();
    return Headers{};
  };
  log(1);
  EXPECT_EQ(asked_on, std::this_thread::get_id());
}

TEST_F(HandlerTest, with_background_off_a_close_frees_those_who_wait) {
  options_.background = false;
  post_ = hang;
  handler();
  std::thread application([&] { EXPECT_FALSE(log(1)); });
  EXPECT_TRUE(server_.wait_for_requests(2));
  EXPECT_FALSE(handler().close(milliseconds(10)));
  application.join();
}

// ---- close

TEST_F(HandlerTest, a_close_delivers_what_is_left) {
  options_.flush_interval = std::chrono::hours(1);
  for (std::uint64_t n = 1; n <= 50; ++n) log(n);
  EXPECT_TRUE(handler().close());
  EXPECT_THAT(stored(), SizeIs(50));
}

TEST_F(HandlerTest, a_close_may_come_at_any_moment_after_a_record) {
  for (std::uint64_t n = 1; n <= 200; ++n) {
    log(n);
    EXPECT_TRUE(handler().close());
    handler_.reset();
  }
  EXPECT_THAT(stored(), SizeIs(200));
}

TEST_F(HandlerTest, closing_twice_is_harmless) {
  log(1);
  EXPECT_TRUE(handler().close());
  EXPECT_TRUE(handler().close());
  EXPECT_THAT(stored(), SizeIs(1));
}

TEST_F(HandlerTest, records_logged_after_a_close_are_counted_and_start_nothing) {
  handler().close();
  const std::size_t before = threads();
  EXPECT_FALSE(log(1));
  EXPECT_EQ(dropped(DropCause::closed), 1U);
  EXPECT_EQ(threads(), before);
  expect_books_add_up();
}

TEST_F(HandlerTest, a_close_is_bounded_while_the_server_hangs_and_tells_what_it_dropped) {
  post_ = hang;
  for (std::uint64_t n = 1; n <= 3; ++n) log(n);
  ASSERT_TRUE(server_is_asked());
  EXPECT_FALSE(handler().close(milliseconds(50)));
  EXPECT_LT(elapsed(), seconds(5));
  EXPECT_TRUE(becomes_true([this] { return !reports().empty(); }));
  EXPECT_EQ(dropped(DropCause::closed), 3U);
  EXPECT_THAT(reports(), ElementsAre(AllOf(HasSubstr("3 records"), HasSubstr("closed"))));
}

TEST_F(HandlerTest, a_close_after_a_flush_that_ran_out_of_time_does_not_wait_again) {
  post_ = hang;
  options_.close_timeout = seconds(1);
  log(1);
  EXPECT_FALSE(handler().flush());
  const auto before = steady_clock::now();
  EXPECT_FALSE(handler().close());
  EXPECT_LT(steady_clock::now() - before, milliseconds(900));
  EXPECT_TRUE(becomes_true([this] { return dropped(DropCause::closed) == 1; }));
}

TEST_F(HandlerTest, a_handler_can_be_destroyed_while_the_server_hangs) {
  post_ = hang;
  options_.close_timeout = milliseconds(20);
  log(1);
  ASSERT_TRUE(server_is_asked());
  handler_.reset();
  EXPECT_LT(elapsed(), seconds(5));
}

TEST_F(HandlerTest, a_handler_can_be_destroyed_without_a_close) {
  log(1);
  handler_.reset();
  EXPECT_THAT(stored(), SizeIs(1));
}

// A worker that is stuck in the application cannot be waited for.
TEST_F(HandlerTest, a_close_is_bounded_while_a_callback_hangs) {
  std::promise<void> release;
  const auto released = release.get_future().share();
  std::atomic<bool> asked{false};
  options_.auth = [released, &asked]() -> Result<Headers> {
    asked = true;
    released.wait();
    return Headers{};
  };
  log(1);
  ASSERT_TRUE(becomes_true([&] { return asked.load(); }));
  EXPECT_FALSE(handler().close(milliseconds(20)));
  options_.close_timeout = std::chrono::hours(1);
  EXPECT_FALSE(handler().close()) << "a second close does not wait either";
  const std::size_t before = threads();
  handler_.reset();
  EXPECT_LT(elapsed(), seconds(15));
  release.set_value();
  EXPECT_TRUE(becomes_true([&] { return threads() < before; }));
}

TEST_F(HandlerTest, many_threads_may_close_at_once) {
  for (std::uint64_t n = 1; n <= 10; ++n) log(n);
  std::vector<std::thread> closers;
  for (int i = 0; i < 8; ++i) closers.emplace_back([this] { EXPECT_TRUE(handler_->close()); });
  for (std::thread& closer : closers) closer.join();
  EXPECT_THAT(stored(), SizeIs(10));
}

// ---- callbacks

TEST_F(HandlerTest, callbacks_run_on_a_thread_that_waits_in_flush) {
  options_.flush_interval = std::chrono::hours(1);
  std::thread::id asked_on;
  options_.auth = [&]() -> Result<Headers> {
    asked_on = std::this_thread::get_id();
    return Headers{{"Authorization", "Bearer x"}};
  };
  log(1);
  EXPECT_TRUE(handler().flush());
  EXPECT_EQ(asked_on, std::this_thread::get_id());
  EXPECT_EQ(server_.received().back().header("authorization"), "Bearer x");
}

TEST_F(HandlerTest, callbacks_run_on_the_worker_where_nobody_waits) {
  std::promise<std::thread::id> asked_on;
  options_.auth = [&]() -> Result<Headers> {
    asked_on.set_value(std::this_thread::get_id());
    return Headers{};
  };
  log(1);
  EXPECT_NE(asked_on.get_future().get(), std::this_thread::get_id());
}

TEST_F(HandlerTest, logging_from_inside_a_callback_is_counted_and_goes_nowhere) {
  options_.auth = [this]() -> Result<Headers> {
    EXPECT_FALSE(log(2));
    EXPECT_FALSE(handler_->flush());
    return Headers{};
  };
  log(1);
  handler().flush();
  EXPECT_EQ(dropped(DropCause::reentrant), 1U);
  EXPECT_THAT(stored(), ElementsAre(1));
  expect_books_add_up();
}

TEST_F(HandlerTest, a_handler_may_be_closed_from_inside_a_callback) {
  options_.report = [this](std::string_view) { handler_->close(); };
  post_ = refuse;
  log(1);
  EXPECT_TRUE(becomes_true([this] { return dropped(DropCause::refused) == 1; }));
  EXPECT_TRUE(handler().close());
}

TEST_F(HandlerTest, a_handler_may_be_destroyed_from_inside_a_callback) {
  std::promise<void> logged;
  std::promise<void> destroyed;
  options_.report = [&](std::string_view) {
    logged.get_future().wait();
    handler_.reset();
    destroyed.set_value();
  };
  post_ = refuse;
  log(1);
  const std::size_t before = threads();
  logged.set_value();
  EXPECT_EQ(destroyed.get_future().wait_for(seconds(20)), std::future_status::ready);
  EXPECT_TRUE(becomes_true([&] { return threads() < before; }));
}

TEST_F(HandlerTest, what_callbacks_throw_goes_no_further) {
  options_.auth = []() -> Result<Headers> { throw 7; };
  options_.report = [](std::string_view) { throw std::runtime_error("boom"); };
  options_.retry_attempts = 0;
  ::testing::internal::CaptureStderr();
  log(1);
  EXPECT_FALSE(handler().flush());
  EXPECT_TRUE(handler().close());
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("auth callback threw"));
  EXPECT_FALSE(handler().check_connection());
  EXPECT_EQ(dropped(DropCause::retries_exhausted), 1U);
}

TEST_F(HandlerTest, without_a_report_callback_reports_go_to_standard_error) {
  options_.report = nullptr;
  post_ = refuse;
  ::testing::internal::CaptureStderr();
  log(1);
  EXPECT_FALSE(handler().flush());
  handler().close();
  EXPECT_THAT(::testing::internal::GetCapturedStderr(),
              AllOf(HasSubstr("log-aggregator-handler: 1 record dropped"), HasSubstr("404")));
}

TEST_F(HandlerTest, detached_callbacks_run_only_where_somebody_waits) {
  std::atomic<int> asked{0};
  options_.auth_ttl = milliseconds(1);
  options_.auth = [&]() -> Result<Headers> {
    ++asked;
    return Headers{};
  };
  log(1);
  EXPECT_TRUE(becomes_true([this] { return stored().size() == 1; }));
  handler().detach_callbacks();
  const int before = asked;
  log(2);
  EXPECT_TRUE(becomes_true([this] { return stored().size() == 2; })) << "credentials serve on";
  EXPECT_EQ(asked, before);
}

TEST_F(HandlerTest, detached_callbacks_still_serve_a_flush) {
  options_.flush_interval = std::chrono::hours(1);
  options_.auth = []() -> Result<Headers> { return Headers{{"Authorization", "Bearer x"}}; };
  handler().detach_callbacks();
  log(1);
  EXPECT_TRUE(handler().flush());
  EXPECT_EQ(server_.received().back().header("authorization"), "Bearer x");
}

TEST_F(HandlerTest, detached_reports_still_reach_a_close) {
  options_.flush_interval = std::chrono::hours(1);
  post_ = refuse;
  handler().detach_callbacks();
  log(1);
  EXPECT_TRUE(handler().close());
  EXPECT_THAT(reports(), SizeIs(1));
}

TEST_F(HandlerTest, detaching_waits_until_the_worker_is_out_of_a_callback) {
  std::promise<void> release;
  const auto released = release.get_future().share();
  std::atomic<bool> inside{false};
  std::atomic<bool> asked{false};
  options_.auth = [&, released]() -> Result<Headers> {
    inside = asked = true;
    released.wait();
    inside = false;
    return Headers{};
  };
  log(1);
  ASSERT_TRUE(becomes_true([&] { return asked.load(); }));
  std::thread other([&] { release.set_value(); });
  handler().detach_callbacks();
  EXPECT_FALSE(inside);
  other.join();
}

// ---- check_connection

TEST_F(HandlerTest, check_connection_asks_the_health_address_with_credentials) {
  options_.headers = {basic_auth("user", "secret")};
  EXPECT_TRUE(handler().check_connection());
  ASSERT_THAT(server_.received(), SizeIs(1));
  EXPECT_EQ(server_.received()[0].path, "/api/health");
  EXPECT_EQ(server_.received()[0].header("authorization"), "Basic dXNlcjpzZWNyZXQ=");
}

TEST_F(HandlerTest, check_connection_is_false_for_any_other_answer) {
  for (const int status : {300, 401, 404, 500}) {
    server_.serve_with(
        [=](const Received&) { return Reply{.status = status, .body = {}, .headers = {}}; });
    EXPECT_FALSE(handler().check_connection()) << status;
  }
  server_.serve_with([](const Received&) {
    return Reply{.body = "\x15\x03", .headers = {}, .way = Reply::Way::raw};
  });
  EXPECT_FALSE(handler().check_connection());
}

TEST_F(HandlerTest, check_connection_is_false_where_nobody_listens) {
  options_.api_endpoint = testing::refusing_url("/api/logs");
  EXPECT_FALSE(handler().check_connection());
}

TEST_F(HandlerTest, check_connection_keeps_to_the_timeout) {
  health_ = hang;
  options_.timeout = milliseconds(100);
  EXPECT_FALSE(handler().check_connection());
  EXPECT_LT(elapsed(), seconds(5));
}

TEST_F(HandlerTest, the_auth_callback_is_never_on_two_threads_at_once) {
  std::atomic<int> inside{0};
  options_.auth_ttl = milliseconds(1);
  options_.auth = [&]() -> Result<Headers> {
    EXPECT_EQ(++inside, 1);
    std::this_thread::yield();
    --inside;
    return Headers{};
  };
  handler();
  std::thread checker([this] {
    for (int i = 0; i < 50; ++i) EXPECT_TRUE(handler_->check_connection());
  });
  for (std::uint64_t n = 1; n <= 200; ++n) {
    log(n);
    if (n % 4 == 0) handler().flush();
  }
  checker.join();
}

// ---- options

TEST_F(HandlerTest, credentials_in_the_endpoint_are_sent_and_never_shown) {
  options_.api_endpoint.replace(0, 7, "http://us%65r:p%40ss@");
  post_ = refuse;
  log(1);
  handler().flush();
  EXPECT_EQ(server_.received().back().header("authorization"), basic_auth("user", "p@ss").value);
  EXPECT_EQ(handler().options().api_endpoint, server_.url("/api/logs"));
  EXPECT_THAT(reports(), ElementsAre(Not(HasSubstr("p@ss"))));
}

TEST_F(HandlerTest, a_record_of_parts_arrives_with_all_of_them) {
  std::string body;
  post_ = [&body](const Received& request) {
    body = testing::decoded(request.header("content-encoding"), request.body);
    return Reply{};
  };
  options_.host = "here";
  options_.fields = {static_field("service", "shop")};
  EXPECT_TRUE(handler().log(Level::warning, "disk full", field("n", 1), logger("app.disk"),
                            field("path", std::string("/var"))));
  ASSERT_TRUE(handler().flush());
  EXPECT_THAT(
      body,
      AllOf(HasSubstr(R"("level":"WARNING","host":"here","service":"shop")"),
            HasSubstr(R"("message":"disk full")"), HasSubstr(R"("logger_name":"app.disk")"),
            HasSubstr(R"("funcName":"TestBody")"), HasSubstr(R"("extra":{"n":1,"path":"/var"})")));
}

TEST_F(HandlerTest, a_logger_without_a_name_has_that_of_the_options) {
  EXPECT_EQ(handler().options().logger, "handler_tests");
}

TEST_F(HandlerTest, a_value_that_logs_while_it_is_written_is_a_record_beside) {
  EXPECT_TRUE(handler().log(Level::info, "outer", field("value", LoggingValue{&handler()})));
  ASSERT_TRUE(handler().flush());
  EXPECT_EQ(stats().delivered, 2U);
}

TEST_F(HandlerTest, try_log_takes_a_record_or_leaves_what_would_wait) {
  EXPECT_EQ(handler().try_log_json(kInfo, "{}"), true);
  EXPECT_TRUE(handler().close());
  EXPECT_EQ(handler().try_log_json(kInfo, "{}"), false);
  EXPECT_EQ(handler().stats().accepted, 2U);
}

TEST_F(HandlerTest, try_log_leaves_what_waits_until_it_is_delivered) {
  options_.background = false;
  EXPECT_EQ(handler().try_log_json(kInfo, "{}"), std::nullopt);
  EXPECT_EQ(handler().stats().accepted, 0U);
}

TEST_F(HandlerTest, times_of_any_length_are_taken) {
  options_.timeout = options_.auth_ttl = options_.retry_delay = milliseconds::max();
  options_.block_timeout = options_.close_timeout = milliseconds::max();
  options_.overflow = Overflow::block;
  options_.auth = []() -> Result<Headers> { return Headers{}; };
  log(1);
  EXPECT_TRUE(handler().flush());
  log(2);
  EXPECT_TRUE(handler().flush(milliseconds::max()));
  log(3);
  EXPECT_TRUE(handler().close(milliseconds::max()));
}

TEST_F(HandlerTest, an_empty_text_is_no_record) {
  EXPECT_FALSE(handler().log_json(kInfo, {}));
  EXPECT_EQ(dropped(DropCause::refused), 1U);
  expect_books_add_up();
}

TEST_F(HandlerTest, a_thread_that_is_cancelled_is_so_when_its_calls_have_returned) {
  struct Work {
    Handler& handler;
    bool flushed = false;
  };
  Work work{.handler = handler()};
  pthread_t thread{};
  const auto body = [](void* argument) -> void* {
    auto& own = *static_cast<Work*>(argument);
    ::pthread_cancel(::pthread_self());
    own.handler.log_json(kInfo, R"({"n":1})");
    own.flushed = own.handler.flush(seconds(20));
    ::pthread_testcancel();
    return nullptr;
  };
  ASSERT_EQ(::pthread_create(&thread, nullptr, body, &work), 0);
  void* ended = nullptr;
  ::pthread_join(thread, &ended);
  EXPECT_EQ(ended, PTHREAD_CANCELED);
  EXPECT_TRUE(work.flushed);
}

TEST_F(HandlerTest, the_prefix_of_records_has_the_host_and_the_fields) {
  options_.host = "web-1";
  options_.fields = {{"service", "\"shop\""}, {"build", "[1,\n 2]"}};
  EXPECT_EQ(handler().record_prefix(), R"("host":"web-1","service":"shop","build":[1,2])");
}

// ---- many threads

TEST_F(HandlerTest, records_of_many_threads_arrive_once_and_in_order_of_each) {
  constexpr std::uint64_t kThreads = 8;
  constexpr std::uint64_t kRecords = 2'000;
  handler();
  std::vector<std::thread> loggers;
  loggers.reserve(kThreads);
  for (std::uint64_t t = 0; t < kThreads; ++t) {
    loggers.emplace_back([this, t] {
      for (std::uint64_t i = 0; i < kRecords; ++i) EXPECT_TRUE(log(t * kRecords + i));
    });
  }
  for (std::thread& logger : loggers) logger.join();
  EXPECT_TRUE(handler().flush());
  std::vector<std::uint64_t> next(kThreads);
  for (const std::uint64_t n : stored()) ASSERT_EQ(n % kRecords, next[n / kRecords]++);
  for (const std::uint64_t count : next) EXPECT_EQ(count, kRecords);
}

TEST_F(HandlerTest, every_call_may_be_made_while_the_handler_closes) {
  handler();
  std::atomic<bool> go_on{true};
  std::vector<std::thread> callers;
  const auto call = [&](const std::function<void()>& action) {
    callers.emplace_back([&go_on, action] {
      while (go_on) action();
    });
  };
  call([this] { log(1); });
  call([this] { handler_->log_json(kWarning, "{\"n\":2}"); });
  call([this] { handler_->flush(milliseconds(1)); });
  call([this] { expect_books_add_up(); });
  EXPECT_TRUE(becomes_true([this] { return stored().size() > 100; }));
  handler().close();
  EXPECT_TRUE(becomes_true([this] { return dropped(DropCause::closed) > 100; }));
  go_on = false;
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(stats().pending, 0U);
  EXPECT_GE(stats().delivered, stored().size()) << "and notices of drops";
  EXPECT_LE(stats().delivered, stored().size() + 1);
}

TEST_F(HandlerTest, memory_is_bounded_while_the_server_is_down) {
  options_.queue_bytes = 64 << 10;
  options_.api_endpoint = testing::refusing_url("/api/logs");
  options_.retry_delay = seconds(10);
  for (std::uint64_t n = 0; n < 20'000; ++n) log(n);
  EXPECT_LE(stats().pending_bytes, options_.queue_bytes);
  EXPECT_GT(dropped(DropCause::queue_full), 0U);
  expect_books_add_up();
  handler().close(milliseconds(0));
  expect_books_add_up();
  EXPECT_TRUE(becomes_true([this] { return stats().pending == 0; }));
}

}  // namespace
}  // namespace log_aggregator
