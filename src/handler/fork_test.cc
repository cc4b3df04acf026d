#include "src/handler/fork.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <simdjson.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "log_aggregator/handler.h"
#include "src/base/mutex.h"
#include "src/testing/loopback_server.h"
#include "src/testing/own_process.h"
#include "src/testing/sent_records.h"

#if defined(__SANITIZE_ADDRESS__)
#define LOG_AGGREGATOR_ASAN 1
#elif defined(__SANITIZE_THREAD__)
#define LOG_AGGREGATOR_TSAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LOG_AGGREGATOR_ASAN 1
#elif __has_feature(thread_sanitizer)
#define LOG_AGGREGATOR_TSAN 1
#endif
#endif

namespace log_aggregator {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using testing::descriptors;
using ::testing::IsEmpty;
using testing::Received;
using testing::Reply;
using testing::threads;
using ::testing::UnorderedElementsAre;

constexpr int kInfo = 20;
constexpr int kHung = -1;

// A count of forks that a long run sets.
int forks_to_make(int usual) {
  const char* const given = std::getenv("LOG_AGGREGATOR_SOAK_FORKS");
  return given != nullptr ? std::atoi(given) : usual;
}

// The exit status of a child, or kHung where it had to be killed.
int wait_for(pid_t child) {
  const auto deadline = steady_clock::now() + seconds(30);
  int status = 0;
  while (::waitpid(child, &status, WNOHANG) == 0) {
    if (steady_clock::now() > deadline) {
      ::kill(child, SIGKILL);
      ::waitpid(child, &status, 0);
      return kHung;
    }
    std::this_thread::sleep_for(milliseconds(1));
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#ifdef LOG_AGGREGATOR_ASAN
bool all_others_sleep() {
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    if (task.path().filename() == std::to_string(::gettid())) continue;
    std::ifstream file(task.path() / "stat");
    std::string text;
    std::getline(file, text);
    const std::size_t name_end = text.rfind(')');
    if (name_end != std::string::npos && text[name_end + 2] != 'S') return false;
  }
  return true;
}
#endif

// AddressSanitizer's allocator has locks that a fork may catch (g++ 12, clang 16): no other thread
// may be allocating.
pid_t fork_process() {
#ifdef LOG_AGGREGATOR_ASAN
  const auto deadline = steady_clock::now() + seconds(5);
  while (!all_others_sleep() && steady_clock::now() < deadline) std::this_thread::yield();
#endif
  return ::fork();
}
#ifdef LOG_AGGREGATOR_ASAN
#define LOG_AGGREGATOR_NOT_UNDER_ASAN() \
  GTEST_SKIP() << "AddressSanitizer's allocator cannot be forked while threads allocate"
#else
#define LOG_AGGREGATOR_NOT_UNDER_ASAN() static_assert(true)
#endif

// Runs `body` in a forked child, which ends with 0 where that returns true.
pid_t fork_child(const std::function<bool()>& body) {
  const pid_t child = fork_process();
  if (child == 0) ::_exit(body() ? 0 : 1);
  return child;
}
int run_in_child(const std::function<bool()>& body) { return wait_for(fork_child(body)); }

// The server lives in the test's process and is what children post to.
class ForkTest : public ::testing::Test {
 protected:
  ForkTest() : server_([this](const Received& request) { return serve(request); }) {
    options_.api_endpoint = server_.url("/api/logs");
    options_.close_timeout = seconds(20);
    options_.retry_delay = milliseconds(1);
    options_.flush_interval = milliseconds(1);
    options_.report = [](std::string_view) {};
  }

  void SetUp() override {
#ifdef LOG_AGGREGATOR_TSAN
    GTEST_SKIP() << "ThreadSanitizer cannot start threads after a fork";
#endif
  }

  Handler& handler() {
    if (!handler_) handler_ = Handler::create(options_).value();
    return *handler_;
  }
  bool log(std::string_view name) {
    return handler().log_json(kInfo, "{\"name\":\"" + std::string(name) + "\"}");
  }

  // The names of records in order of their arrival, as often as they came.
  std::vector<std::string> arrived() const {
    const MutexLock lock(mutex_);
    return arrived_;
  }
  std::set<std::string> journals() const {
    const MutexLock lock(mutex_);
    return journals_;
  }

  // Changed by tests before their first record.
  std::function<Reply()> post_ = [] { return Reply{}; };
  Options options_;
  std::unique_ptr<Handler> handler_;

 private:
  Reply serve(const Received& request) {
    if (request.method == "GET") {
      return {.body = R"({"batch":{"max_records":1000},"formats":["ndjson"]})", .headers = {}};
    }
    Reply reply = post_();
    if (reply.status != 200) return reply;
    const auto records =
        testing::records_of(request.header("content-type"),
                            testing::decoded(request.header("content-encoding"), request.body));
    const MutexLock lock(mutex_);
    for (const std::string& record : records) {
      constexpr std::string_view kBefore = "{\"name\":\"";
      arrived_.push_back(record.substr(kBefore.size(), record.size() - kBefore.size() - 2));
    }
    journals_.insert(request.header("log-aggregator-journal"));
    return reply;
  }

  mutable Mutex mutex_;
  std::vector<std::string> arrived_ GUARDED_BY(mutex_);
  std::set<std::string> journals_ GUARDED_BY(mutex_);

 protected:
  testing::LoopbackServer server_;  // last: it ends before what it writes to
};

TEST_F(ForkTest, each_process_delivers_what_it_has_logged_once) {
  ASSERT_TRUE(log("parent before"));
  const pid_t child = fork_child([this] { return log("child") && handler().flush(); });
  ASSERT_TRUE(log("parent after"));
  EXPECT_EQ(wait_for(child), 0);
  EXPECT_TRUE(handler().close());
  EXPECT_THAT(arrived(), UnorderedElementsAre("parent before", "parent after", "child"));
  EXPECT_EQ(journals().size(), 2U) << "a child numbers its records in a journal of its own";
}

TEST_F(ForkTest, what_waits_in_the_parent_is_not_sent_by_the_child) {
  options_.flush_interval = seconds(60);
  log("parent");
  EXPECT_EQ(run_in_child([this] { return handler().flush() && handler().close(); }), 0);
  EXPECT_THAT(arrived(), IsEmpty());
  EXPECT_TRUE(handler().flush());
  EXPECT_THAT(arrived(), UnorderedElementsAre("parent"));
}

TEST_F(ForkTest, a_child_counts_from_zero) {
  log("parent");
  handler().flush();
  EXPECT_EQ(run_in_child([this] {
              if (handler().stats().accepted != 0) return false;
              log("child");
              handler().flush();
              const Stats stats = handler().stats();
              return stats.accepted == 1 && stats.delivered == 1 && stats.batches == 1;
            }),
            0);
  EXPECT_EQ(handler().stats().accepted, 1U);
}

TEST_F(ForkTest, children_of_children_deliver) {
  log("0");
  EXPECT_EQ(run_in_child([this] {
              log("1");
              const int inner = run_in_child([this] {
                log("2");
                const int innermost =
                    run_in_child([this] { return log("3") && handler().close(); });
                return innermost == 0 && handler().flush();
              });
              return inner == 0 && handler().flush();
            }),
            0);
  EXPECT_TRUE(handler().flush());
  EXPECT_THAT(arrived(), UnorderedElementsAre("0", "1", "2", "3"));
}

TEST_F(ForkTest, a_child_that_logs_nothing_starts_nothing_and_holds_no_connection_of_its_parent) {
  log("parent");
  ASSERT_TRUE(handler().flush());
  const std::size_t open = descriptors();
  EXPECT_EQ(run_in_child([&] {
              return threads() == 1 && descriptors() == open - 1 && handler().flush() &&
                     handler().close() && threads() == 1;
            }),
            0);
}

TEST_F(ForkTest, the_parents_connection_outlives_its_children) {
  log("before");
  ASSERT_TRUE(handler().flush());
  EXPECT_EQ(run_in_child([this] { return log("child") && handler().close(); }), 0);
  log("after");
  ASSERT_TRUE(handler().flush());
  EXPECT_EQ(server_.connections(), 2) << "one of the parent, one of the child";
}

TEST_F(ForkTest, a_handler_is_destroyed_in_a_child_as_anywhere) {
  log("parent");
  EXPECT_EQ(run_in_child([this] {
              log("child");
              handler_.reset();
              return true;
            }),
            0);
  handler_.reset();
  EXPECT_THAT(arrived(), UnorderedElementsAre("parent", "child"));
}

TEST_F(ForkTest, a_closed_handler_is_closed_in_children) {
  log("parent");
  handler().close();
  EXPECT_EQ(run_in_child([this] {
              return !log("child") && handler().stats().dropped_total() == 1 && threads() == 1 &&
                     handler().close();
            }),
            0);
}

TEST_F(ForkTest, a_child_makes_requests_of_its_own) {
  log("parent");
  handler().flush();
  EXPECT_EQ(run_in_child([this] { return handler().check_connection(); }), 0);
}

TEST_F(ForkTest, a_handler_that_was_never_used_works_in_a_child) {
  handler();
  EXPECT_EQ(run_in_child([this] { return log("child") && handler().close(); }), 0);
  EXPECT_THAT(arrived(), UnorderedElementsAre("child"));
}

TEST_F(ForkTest, threads_of_a_child_share_its_first_use) {
  log("parent");
  EXPECT_EQ(run_in_child([this] {
              std::vector<std::thread> loggers;
              for (int i = 0; i < 8; ++i) {
                loggers.emplace_back([this, i] { log("child " + std::to_string(i)); });
              }
              for (std::thread& logger : loggers) logger.join();
              return handler().close() && handler().stats().delivered == 8;
            }),
            0);
  EXPECT_TRUE(handler().flush());
  EXPECT_EQ(arrived().size(), 9U);
}

// ---- out of callbacks

TEST_F(ForkTest, a_child_forked_in_a_callback_of_flush_comes_back_at_once) {
  options_.retry_attempts = 0;
  options_.flush_interval = seconds(60);
  post_ = [] { return Reply{.status = 500, .body = {}, .headers = {}}; };
  std::atomic<pid_t> child{-1};
  options_.report = [&](std::string_view) { child = fork_process(); };
  log("refused");
  const bool flushed = handler().flush(seconds(20));
  if (child == 0) {
    // The parent's record is none of the child's business, its own is.
    const bool well = !flushed && handler().stats().accepted == 0 && log("child") &&
                      handler().stats().accepted == 1;
    ::_exit(well ? 0 : 1);
  }
  EXPECT_FALSE(flushed);
  EXPECT_EQ(wait_for(child), 0);
}

TEST_F(ForkTest, a_child_forked_in_a_callback_of_close_comes_back_at_once) {
  options_.retry_attempts = 0;
  options_.flush_interval = seconds(60);
  post_ = [] { return Reply{.status = 500, .body = {}, .headers = {}}; };
  std::atomic<pid_t> child{-1};
  options_.report = [&](std::string_view) { child = fork_process(); };
  log("refused");
  const bool closed = handler().close();
  if (child == 0) ::_exit(!closed && !log("child") && handler().close() ? 0 : 1);
  EXPECT_EQ(wait_for(child), 0);
}

TEST_F(ForkTest, a_child_forked_in_a_callback_of_a_log_call_that_waits_comes_back_at_once) {
  options_.background = false;
  options_.flush_interval = seconds(60);  // the call waits already when the worker has to send
  std::atomic<pid_t> child{-1};
  options_.auth = [&]() -> Result<Headers> {
    if (child == -1) child = fork_process();
    return Headers{};
  };
  const bool delivered = log("parent");
  if (child == 0) ::_exit(!delivered && log("child") ? 0 : 1);
  EXPECT_TRUE(delivered);
  EXPECT_EQ(wait_for(child), 0);
  EXPECT_THAT(arrived(), UnorderedElementsAre("parent", "child"));
}

TEST_F(ForkTest, a_child_forked_in_a_callback_of_check_connection_goes_on_with_it) {
  std::atomic<pid_t> child{-1};
  options_.auth = [&]() -> Result<Headers> {
    if (child == -1) child = fork_process();
    return Headers{};
  };
  const bool healthy = handler().check_connection();
  if (child == 0) ::_exit(healthy && log("child") && handler().close() ? 0 : 1);
  EXPECT_TRUE(healthy);
  EXPECT_EQ(wait_for(child), 0);
  EXPECT_THAT(arrived(), UnorderedElementsAre("child"));
}

TEST_F(ForkTest, a_child_forked_on_the_worker_ends_when_it_returns_from_the_callback) {
  std::atomic<pid_t> child{-1};
  options_.auth = [&]() -> Result<Headers> {
    if (child == -1) child = fork_process();
    child.notify_all();
    return Headers{};
  };
  log("parent");
  child.wait(-1);
  EXPECT_EQ(wait_for(child), 0);
  EXPECT_TRUE(handler().close());
  EXPECT_THAT(arrived(), UnorderedElementsAre("parent"));
}

TEST_F(ForkTest, a_record_logged_in_a_callback_is_reentrant_in_its_child_too) {
  std::atomic<pid_t> child{-1};
  options_.auth = [&]() -> Result<Headers> {
    if (child != -1) return Headers{};
    child = fork_process();
    if (child == 0) {
      const bool well = !log("child") && !handler().flush() && handler().stats().accepted == 1;
      ::_exit(well ? 0 : 1);
    }
    return Headers{};
  };
  log("parent");
  EXPECT_TRUE(handler().flush());
  EXPECT_EQ(wait_for(child), 0);
}

// A parent's worker may be at its first answer when it forks.
TEST_F(ForkTest, what_libraries_make_at_their_first_use_is_made_before_a_handler) {
  const simdjson::implementation* const chosen = simdjson::get_active_implementation();
  EXPECT_TRUE(simdjson::validate_utf8("", 0));
  const simdjson::implementation* const used = simdjson::get_active_implementation();
  EXPECT_EQ(chosen, used);
}

// ---- under load

// Counts what threads log until it is told to stop, so that each record can be asked for.
class Loggers {
 public:
  Loggers(int count, const std::function<bool(const std::string&)>& log) {
    for (int thread = 0; thread < count; ++thread) {
      threads_.emplace_back([this, thread, log] {
        for (int i = 0; !stop_; ++i) {
          const std::string name = std::to_string(thread) + '-' + std::to_string(i);
          if (log(name)) ++logged_;
          std::this_thread::sleep_for(milliseconds(20));
        }
      });
    }
  }
  std::size_t stop() {
    stop_ = true;
    for (std::thread& thread : threads_) thread.join();
    return logged_;
  }

 private:
  std::atomic<bool> stop_{false};
  std::atomic<std::size_t> logged_{0};
  std::vector<std::thread> threads_;
};

TEST_F(ForkTest, forks_under_64_logging_threads_neither_hang_nor_lose_nor_repeat_a_record) {
  LOG_AGGREGATOR_NOT_UNDER_ASAN();
  const int forks = forks_to_make(100);
  log("first");
  Loggers loggers(64, [this](const std::string& name) { return log(name); });
  int hung = 0;
  int failed = 0;
  for (int i = 0; i < forks; ++i) {
    const int status =
        run_in_child([this, i] { return log("child " + std::to_string(i)) && handler().flush(); });
    if (status == kHung) ++hung;
    if (status != 0) ++failed;
  }
  const std::size_t logged = loggers.stop() + 1 + static_cast<std::size_t>(forks);
  EXPECT_TRUE(handler().close());
  const std::vector<std::string> records = arrived();
  const std::set<std::string> distinct(records.begin(), records.end());
  std::cout << "forks " << forks << ", hung " << hung << ", accepted " << logged << ", stored "
            << distinct.size() << ", lost " << logged - distinct.size() << ", twice "
            << records.size() - distinct.size() << std::endl;
  EXPECT_EQ(hung, 0);
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(distinct.size(), logged);
  EXPECT_EQ(records.size(), logged);
}

TEST_F(ForkTest, forks_while_handlers_come_and_go) {
  LOG_AGGREGATOR_NOT_UNDER_ASAN();
  std::atomic<bool> stop{false};
  std::vector<std::thread> makers;
  std::atomic<std::size_t> logged{0};
  for (int thread = 0; thread < 4; ++thread) {
    makers.emplace_back([&] {
      while (!stop) {
        const auto own = Handler::create(options_).value();
        if (own->log_json(kInfo, R"({"name":"own"})")) ++logged;
        own->check_connection();
        own->close();
        EXPECT_EQ(own->stats().dropped_total(), 0U) << own->stats().last_error;
        std::this_thread::sleep_for(milliseconds(5));
      }
    });
  }
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(run_in_child([this] { return log("child") && handler().close(); }), 0);
    log("parent");
    ++logged;
    ++logged;
  }
  stop = true;
  for (std::thread& maker : makers) maker.join();
  EXPECT_TRUE(handler().close());
  EXPECT_EQ(arrived().size(), logged);
}

TEST_F(ForkTest, forks_while_other_threads_are_in_every_call) {
  LOG_AGGREGATOR_NOT_UNDER_ASAN();
  handler();
  std::atomic<bool> stop{false};
  std::vector<std::thread> callers;
  const auto call = [&](const std::function<void()>& action) {
    callers.emplace_back([&stop, action] {
      while (!stop) action();
    });
  };
  call([this] { handler().detach_callbacks(milliseconds(0)); });
  call([this] { handler().flush(milliseconds(0)); });
  call([this] {
    log("parent");
    handler().stats();
    std::this_thread::sleep_for(milliseconds(1));
  });
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(run_in_child([this] { return log("child") && handler().close(); }), 0);
  }
  stop = true;
  for (std::thread& caller : callers) caller.join();
}

TEST_F(ForkTest, many_handlers_live_through_a_fork) {
  std::vector<std::unique_ptr<Handler>> handlers;
  for (int i = 0; i < 20; ++i) {
    handlers.push_back(Handler::create(options_).value());
    handlers.back()->log_json(kInfo, R"({"name":"parent"})");
  }
  EXPECT_EQ(run_in_child([&] {
              for (const auto& each : handlers) each->log_json(kInfo, R"({"name":"child"})");
              return std::all_of(handlers.begin(), handlers.end(),
                                 [](const auto& each) { return each->flush(); });
            }),
            0);
  for (const auto& each : handlers) EXPECT_TRUE(each->flush());
  EXPECT_EQ(arrived().size(), 40U);
}

}  // namespace
}  // namespace log_aggregator
