// Compiled against each spdlog that there is: header-only, as a library, and a newer one.
#include "log_aggregator/spdlog_sink.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/async.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "src/testing/loopback_server.h"
#include "src/testing/sent_records.h"

#if defined(__SANITIZE_ADDRESS__)
#define LOG_AGGREGATOR_SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define LOG_AGGREGATOR_SANITIZED
#endif
#endif

namespace log_aggregator {
namespace {

using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::LoopbackServer;
using ::testing::Not;
using testing::Received;
using testing::Reply;
using ::testing::SizeIs;

using Records = std::vector<std::string>;

// A record's member as it stands in its JSON.
template <typename T>
auto has(const std::string& name, const T& value) {
  JsonWriter json;
  write_json(json, value);
  return HasSubstr("\"" + name + "\":" + std::string(json.text()));
}

auto message(const std::string& text) { return has("message", text); }
auto has_any(const std::string& name) { return HasSubstr("\"" + name + "\":"); }

std::uint64_t this_thread() { return static_cast<std::uint64_t>(::syscall(SYS_gettid)); }

class SpdlogSinkTest : public ::testing::Test {
 protected:
  void TearDown() override { spdlog::shutdown(); }

  // Nothing is sent before it is asked for.
  Options options() const {
    Options options;
    options.api_endpoint = server_.url("/api/logs");
    options.batch_size = 1'000;
    options.flush_interval = seconds(1'000);
    return options;
  }

  static spdlog::logger logger(std::shared_ptr<spdlog::sinks::sink> sink) {
    spdlog::logger logger("shop", std::move(sink));
    logger.set_level(spdlog::level::trace);
    return logger;
  }

  // What has been logged, in its order.
  Records sent(const spdlog_sink_mt& sink) { return sent(*sink.handler()); }
  Records sent(Handler& handler) {
    EXPECT_TRUE(handler.close(seconds(20)));
    return received();
  }
  Records received() const {
    Records all;
    for (const Received& request : server_.received()) {
      if (request.method != "POST") continue;
      const std::string body = testing::decoded(request.header("content-encoding"), request.body);
      for (auto& record : testing::records_of(request.header("content-type"), body)) {
        all.push_back(std::move(record));
      }
    }
    return all;
  }

  LoopbackServer server_{[](const Received&) { return Reply{}; }};
};

// ---- what becomes of a message

TEST_F(SpdlogSinkTest, a_message_arrives_with_its_level_logger_thread_and_place) {
  const auto sink = std::make_shared<spdlog_sink_mt>(options());
  auto log = logger(sink);
  log.log(spdlog::source_loc{"/src/shop/order.cc", 42, "place_order"}, spdlog::level::warn,
          "order {} of {}", 7, "ada");
  EXPECT_THAT(sent(*sink),
              ElementsAre(AllOf(message("order 7 of ada"), has("level", "WARNING"),
                                has("logger_name", "shop"), has("filename", "order.cc"),
                                has("lineno", 42), has("funcName", "place_order"),
                                has("thread", this_thread()), has_any("threadName"))));
}

TEST_F(SpdlogSinkTest, a_place_that_spdlog_does_not_know_is_left_out) {
  const auto sink = std::make_shared<spdlog_sink_mt>(options());
  logger(sink).info("hello");
  EXPECT_THAT(sent(*sink), ElementsAre(AllOf(Not(has_any("filename")), Not(has_any("lineno")),
                                             Not(has_any("funcName")))));
}

TEST_F(SpdlogSinkTest, each_level_has_its_name) {
  const auto sink = std::make_shared<spdlog_sink_mt>(options());
  auto log = logger(sink);
  for (const auto level :
       {spdlog::level::trace, spdlog::level::debug, spdlog::level::info, spdlog::level::warn,
        spdlog::level::err, spdlog::level::critical, spdlog::level::off}) {
    log.log(level, "hello");
  }
  EXPECT_THAT(sent(*sink),
              ElementsAre(has("level", "TRACE"), has("level", "DEBUG"), has("level", "INFO"),
                          has("level", "WARNING"), has("level", "ERROR"), has("level", "CRITICAL"),
                          has("level", "CRITICAL")));
}

TEST_F(SpdlogSinkTest, the_level_of_the_sink_is_kept) {
  const auto sink = std::make_shared<spdlog_sink_mt>(options());
  sink->set_level(spdlog::level::err);
  auto log = logger(sink);
  log.warn("too little");
  log.error("enough");
  sink->set_level(spdlog::level::off);
  log.critical("never");
  EXPECT_THAT(sent(*sink), ElementsAre(message("enough")));
}

TEST_F(SpdlogSinkTest, a_logger_without_a_name_has_that_of_the_options) {
  Options named = options();
  named.logger = "program";
  const auto sink = std::make_shared<spdlog_sink_mt>(std::move(named));
  spdlog::logger("", sink).info("hello");
  EXPECT_THAT(sent(*sink), ElementsAre(has("logger_name", "program")));
}

// ---- patterns

TEST_F(SpdlogSinkTest, without_formatting_the_message_is_the_text_whatever_the_pattern) {
  const auto sink = std::make_shared<spdlog_sink_mt>(options());
  auto log = logger(sink);
  log.set_pattern("[%l] %v");
  sink->set_pattern("%n");
  log.info("hello");
  EXPECT_THAT(sent(*sink), ElementsAre(message("hello")));
}

TEST_F(SpdlogSinkTest, with_formatting_the_message_is_what_the_pattern_makes_on_one_line) {
  const auto sink = std::make_shared<spdlog_sink_mt>(options(), true);
  auto log = logger(sink);
  log.info("by spdlog's default");
  log.set_pattern("[%l] %v");
  log.info("of the logger");
  sink->set_pattern("%n: %v");
  log.info("of the sink");
  sink->set_formatter(
      std::make_unique<spdlog::pattern_formatter>("%v", spdlog::pattern_time_type::local, "\r\n"));
  log.info("two lines\nbut no third");
  EXPECT_THAT(
      sent(*sink),
      ElementsAre(HasSubstr("[shop] [info] by spdlog's default\""), message("[info] of the logger"),
                  message("shop: of the sink"), message("two lines\nbut no third")));
}

class FailingFlag final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg&, const std::tm&, spdlog::memory_buf_t&) override {
    throw std::runtime_error("no flag");
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<FailingFlag>();
  }
};

// With something that is no std::exception.
class OddlyFailingFormatter final : public spdlog::formatter {
 public:
  void format(const spdlog::details::log_msg&, spdlog::memory_buf_t&) override { throw 5; }
  std::unique_ptr<formatter> clone() const override {
    return std::make_unique<OddlyFailingFormatter>();
  }
};

TEST_F(SpdlogSinkTest, a_message_whose_pattern_fails_is_logged_as_it_is) {
  const auto sink = std::make_shared<spdlog_sink_mt>(options(), true);
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  formatter->add_flag<FailingFlag>('!').set_pattern("%v %!");
  sink->set_formatter(std::move(formatter));
  logger(sink).info("hello");
  sink->set_formatter(std::make_unique<OddlyFailingFormatter>());
  logger(sink).info("again");
  EXPECT_THAT(sent(*sink), ElementsAre(message("hello"), message("again")));
}

TEST_F(SpdlogSinkTest, no_formatter_in_the_place_of_one_changes_nothing) {
  const auto sink = std::make_shared<spdlog_sink_mt>(options(), true);
  sink->set_pattern("%n: %v");
  sink->set_formatter(nullptr);
  logger(sink).info("hello");
  EXPECT_THAT(sent(*sink), ElementsAre(message("shop: hello")));
}

TEST_F(SpdlogSinkTest, patterns_may_change_while_threads_log) {
  constexpr int kThreads = 4;
  constexpr int kCalls = 500;
  const auto sink = std::make_shared<spdlog_sink_mt>(options(), true);
  auto log = logger(sink);
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&] {
      for (int call = 0; call < kCalls; ++call) log.info("hello");
    });
  }
  for (int change = 0; change < kCalls; ++change) sink->set_pattern("[%l] %v");
  for (auto& thread : threads) thread.join();
  EXPECT_THAT(sent(*sink), SizeIs(kThreads * kCalls));
}

// ---- how a sink is made

TEST_F(SpdlogSinkTest, options_that_are_wrong_are_spdlogs_exception_with_what_is_wrong) {
  Options wrong = options();
  wrong.queue_bytes = 1;
  try {
    const spdlog_sink_mt sink(std::move(wrong));
    FAIL() << "it was made";
  } catch (const spdlog::spdlog_ex& error) {
    EXPECT_THAT(error.what(), HasSubstr("queue_bytes"));
  }
  EXPECT_THROW(spdlog_sink_mt(std::shared_ptr<Handler>()), spdlog::spdlog_ex);
}

TEST_F(SpdlogSinkTest, sinks_and_the_program_share_a_handler) {
  const std::shared_ptr<Handler> handler = std::move(Handler::create(options()).value());
  auto shop = logger(std::make_shared<spdlog_sink_mt>(handler));
  spdlog::logger bank("bank", std::make_shared<spdlog_sink_st>(handler));
  shop.info("one");
  handler->log(Level::info, "two", field("user_id", 123));
  bank.info("three");
  EXPECT_THAT(sent(*handler), ElementsAre(message("one"), message("two"),
                                          AllOf(message("three"), has("logger_name", "bank"))));
}

TEST_F(SpdlogSinkTest, what_is_logged_after_a_close_is_counted) {
  const auto sink = std::make_shared<spdlog_sink_mt>(options());
  sink->handler()->close();
  logger(sink).info("late");
  const Stats stats = sink->handler()->stats();
  EXPECT_EQ(stats.accepted, 1);
  EXPECT_EQ(stats.delivered, 0);
  EXPECT_EQ(total(stats.dropped[static_cast<std::size_t>(DropCause::closed)]), 1);
}

TEST_F(SpdlogSinkTest, factories_register_a_logger_that_logs_the_text) {
  const auto many = spdlog_logger_mt("many", options());
  const auto one = spdlog_logger_st("one", options());
  EXPECT_EQ(spdlog::get("many"), many);
  EXPECT_EQ(spdlog::get("one"), one);
  many->info("hello");
  EXPECT_THAT(sent(dynamic_cast<spdlog_sink_mt&>(*many->sinks().front())),
              ElementsAre(AllOf(message("hello"), has("logger_name", "many"))));
}

// ---- messages of other threads

TEST_F(SpdlogSinkTest, under_an_asynchronous_logger_records_keep_the_thread_that_logged) {
  const auto log = spdlog_logger_mt<spdlog::async_factory>("async", options());
  const auto sink = std::dynamic_pointer_cast<spdlog_sink_mt>(log->sinks().front());
  log->info("hello");
  spdlog::shutdown();  // with spdlog's thread, which has logged all by then
  EXPECT_THAT(sent(*sink), ElementsAre(AllOf(message("hello"), has("thread", this_thread()),
                                             Not(has_any("threadName")))));
}

TEST_F(SpdlogSinkTest, a_backtrace_has_the_times_and_threads_of_its_messages) {
  const auto sink = std::make_shared<spdlog_sink_mt>(options());
  auto log = logger(sink);
  log.set_level(spdlog::level::info);
  log.enable_backtrace(8);
  std::uint64_t other = 0;
  std::thread([&] {
    other = this_thread();
    log.log(spdlog::log_clock::time_point(seconds(1'700'000'000)), spdlog::source_loc{},
            spdlog::level::debug, "before");
  }).join();
  log.dump_backtrace();
  EXPECT_THAT(sent(*sink),
              ElementsAre(HasSubstr("Backtrace Start"),
                          AllOf(message("before"), has("level", "DEBUG"), has("thread", other),
                                has("timestamp", "2023-11-14T22:13:20.000000+00:00")),
                          HasSubstr("Backtrace End")));
}

// spdlog goes on with the number of the parent's thread, once it has asked for that.
TEST_F(SpdlogSinkTest, a_forked_child_logs_with_its_own_thread) {
#ifdef LOG_AGGREGATOR_SANITIZED
  GTEST_SKIP() << "the sanitizers' allocators cannot be forked while threads allocate";
#endif
  const auto sink = std::make_shared<spdlog_sink_mt>(options());
  auto log = logger(sink);
  ASSERT_EQ(spdlog::details::os::thread_id(), this_thread());
  const pid_t child = ::fork();
  if (child == 0) {
    log.info("hello");
    ::_exit(sink->handler()->close(seconds(20)) ? 0 : 1);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_THAT(received(), ElementsAre(AllOf(message("hello"), has("process", child),
                                            has("thread", child), has_any("threadName"))));
}

// ---- flush

// Answers nothing until it is told to.
class PatientServer {
 public:
  Reply operator()(const Received& request) const {
    if (request.method == "POST") may_answer_.wait();
    return {};
  }
  void answer() { answer_.set_value(); }

 private:
  std::promise<void> answer_;
  std::shared_future<void> may_answer_ = answer_.get_future();
};

TEST_F(SpdlogSinkTest, flush_asks_for_sending_now_and_does_not_wait) {
  const auto patient = std::make_shared<PatientServer>();
  server_.serve_with([patient](const Received& request) { return (*patient)(request); });
  Options once = options();
  once.timeout = seconds(10);  // a flush that waits for the answer outlasts it
  once.retry_attempts = 0;
  const auto sink = std::make_shared<spdlog_sink_mt>(std::move(once));
  auto log = logger(sink);
  log.flush_on(spdlog::level::err);
  log.error("no order");
  EXPECT_TRUE(server_.wait_for_requests(1));
  EXPECT_EQ(sink->handler()->stats().delivered, 0);
  patient->answer();
  EXPECT_THAT(sent(*sink), ElementsAre(message("no order")));
  EXPECT_EQ(sink->handler()->stats().delivered, 1);
}

TEST_F(SpdlogSinkTest, flush_waits_for_delivery_where_it_is_told_to) {
  const auto sink = std::make_shared<spdlog_sink_mt>(options());
  sink->set_flush_timeout(seconds(20));
  auto log = logger(sink);
  log.info("hello");
  log.flush();
  EXPECT_EQ(sink->handler()->stats().delivered, 1);
}

#ifdef LOG_AGGREGATOR_SPDLOG_HAS_MDC
// When spdlog has destroyed them.
TEST_F(SpdlogSinkTest, a_thread_that_ends_logs_without_the_entries_it_had) {
  struct LogsAtTheEnd {
    spdlog::logger* log = nullptr;
    ~LogsAtTheEnd() { log->info("last"); }
  };
  const auto sink = std::make_shared<spdlog_sink_mt>(options());
  auto log = logger(sink);
  std::thread([&] {
    thread_local LogsAtTheEnd at_the_end;
    at_the_end.log = &log;
    spdlog::mdc::put("request", "r-1");
    log.info("within");
  }).join();
  EXPECT_THAT(sent(*sink), ElementsAre(AllOf(message("within"), has_any("extra")),
                                       AllOf(message("last"), Not(has_any("extra")))));
}

TEST_F(SpdlogSinkTest, entries_of_the_mdc_are_fields) {
  const auto sink = std::make_shared<spdlog_sink_mt>(options());
  auto log = logger(sink);
  spdlog::mdc::put("request", "r-1");
  spdlog::mdc::put("user", "ada");
  log.info("within");
  spdlog::mdc::clear();
  log.info("after");
  EXPECT_THAT(sent(*sink), ElementsAre(HasSubstr(R"("extra":{"request":"r-1","user":"ada"})"),
                                       Not(has_any("extra"))));
}
#endif

}  // namespace
}  // namespace log_aggregator
