#include "src/handler/crash_handler.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <simdjson.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "log_aggregator/handler.h"
#include "log_aggregator/spool.h"
#include "src/testing/loopback_server.h"
#include "src/testing/own_process.h"
#include "src/testing/sent_records.h"
#include "src/testing/temporary_directory.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LOG_AGGREGATOR_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define LOG_AGGREGATOR_SANITIZED 1
#endif
#endif

namespace log_aggregator {
namespace {

using std::chrono::milliseconds;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::LoopbackServer;
using ::testing::MatchesRegex;
using ::testing::Not;
using testing::Received;
using testing::Reply;
using ::testing::SizeIs;
using ::testing::StartsWith;
using testing::TemporaryDirectory;

// Calls it while no file of the process may grow.
template <typename Function>
auto without_room(const Function& function) {
  rlimit limit{};
  ::getrlimit(RLIMIT_FSIZE, &limit);
  const rlimit none{.rlim_cur = 1, .rlim_max = limit.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &none);
  auto result = function();
  ::setrlimit(RLIMIT_FSIZE, &limit);
  return result;
}

// How tests/programs/crash_program.cc has ended, and what it said.
struct Ending {
  int signal = 0;  // 0: by itself
  int exit_code = 0;
  std::string output;
};

Ending run_program(const std::string& way, const std::string& spool) {
  std::array<int, 2> pipe{};
  EXPECT_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
  ::posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, pipe[1], STDOUT_FILENO);
  ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  std::string program = LOG_AGGREGATOR_CRASH_PROGRAM;
  std::string first = way;
  std::string second = spool;
  std::array<char*, 4> arguments{program.data(), first.data(), second.data(), nullptr};
  pid_t child = 0;
  EXPECT_EQ(::posix_spawn(&child, program.c_str(), &actions, nullptr, arguments.data(), environ),
            0);
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(pipe[1]);
  Ending ending;
  std::array<char, 256> buffer{};
  for (ssize_t count = 1; count > 0;) {
    count = ::read(pipe[0], buffer.data(), buffer.size());
    if (count > 0) ending.output.append(buffer.data(), static_cast<std::size_t>(count));
  }
  ::close(pipe[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFSIGNALED(status)) ending.signal = WTERMSIG(status);
  if (WIFEXITED(status)) ending.exit_code = WEXITSTATUS(status);
  return ending;
}

class CrashSpoolTest : public ::testing::Test {
 protected:
  CrashSpoolTest()
      : server_([](const Received&) {
          Reply reply;
          reply.body = R"({"status":"ok","batch":{"max_records":100,"formats":["array"]}})";
          return reply;
        }) {}

  Ending crash(const std::string& way) { return run_program(way, directory_.path()); }

  Options options(const std::string& spool) {
    Options options;
    options.api_endpoint = server_.url("/api/logs");
    options.spool_dir = spool;
    options.report = [this](std::string_view line) { reports_.emplace_back(line); };
    return options;
  }

  // Delivers what was left, and takes it apart.
  void deliver() { deliver(directory_.path()); }
  void deliver(const std::string& spool) {
    const auto report = SpoolDrain::create(options(spool)).value()->run({});
    ASSERT_TRUE(report.ok());
    EXPECT_TRUE(report->all_delivered()) << report->error;
    EXPECT_THAT(report->in_use, IsEmpty());
    EXPECT_THAT(list_spool(spool).value(), IsEmpty());
    EXPECT_THAT(reports_, IsEmpty());
    take_apart();
  }

  void take_apart() {
    crashes_.clear();
    messages_.clear();
    simdjson::dom::parser parser;
    for (const Received& request : server_.received()) {
      EXPECT_FALSE(request.headers.contains("log-aggregator-skipped"));
      if (request.method != "POST") continue;
      const std::string body = testing::decoded(request.header("content-encoding"), request.body);
      for (const std::string& text : testing::records_of(request.header("content-type"), body)) {
        const simdjson::dom::element record = parser.parse(text);
        if (std::string_view(record["logger_name"]) == kCrashLogger) {
          crashes_.push_back(text);
        } else {
          messages_.emplace_back(std::string_view(record["message"]));
        }
      }
    }
  }

  // A member of the one crash record there is.
  std::string crash_text(std::string_view pointer) {
    EXPECT_THAT(crashes_, SizeIs(1));
    if (crashes_.size() != 1) return {};
    simdjson::dom::parser parser;
    const simdjson::dom::element record = parser.parse(crashes_.front());
    simdjson::dom::element value;
    if (record.at_pointer(pointer).get(value) != simdjson::SUCCESS) return {};
    return value.is_string() ? std::string(std::string_view(value)) : simdjson::minify(value);
  }
  std::string message() { return crash_text("/message"); }
  std::string stack() { return crash_text("/stack"); }

  TemporaryDirectory directory_;
  std::vector<std::string> reports_;
  std::vector<std::string> messages_;  // of records that tell of no crash
  std::vector<std::string> crashes_;
  LoopbackServer server_;
};

class CrashHandlerTest : public CrashSpoolTest {
 protected:
  void SetUp() override {
#if defined(LOG_AGGREGATOR_SANITIZED)
    GTEST_SKIP() << "a sanitizer ends a program that crashes in a way of its own";
#endif
  }
};

class CrashForkTest : public CrashSpoolTest {
 protected:
  void SetUp() override {
#if defined(LOG_AGGREGATOR_SANITIZED)
    GTEST_SKIP() << "the sanitizers cannot start threads after a fork, or allocate";
#endif
  }
};

// One of the ways to die, and what must be said of it.
struct Way {
  const char* name;
  int signal;
  const char* message;  // how it begins
};

class WaysToCrashTest : public CrashHandlerTest, public ::testing::WithParamInterface<Way> {};

TEST_P(WaysToCrashTest, the_last_records_and_one_of_the_crash_arrive_at_the_next_start) {
  const Way& way = GetParam();
  EXPECT_EQ(crash(way.name).signal, way.signal);
  deliver();
  EXPECT_THAT(messages_, ElementsAre("record 1", "record 2", "record 3"));
  EXPECT_THAT(message(), StartsWith(way.message));
  EXPECT_THAT(message(), MatchesRegex(".* in thread [0-9]+ \"main \"x\"\""));
  EXPECT_THAT(stack(), StartsWith("#0 0x"));
  EXPECT_THAT(stack(), HasSubstr("crash_program+0x"));
  EXPECT_EQ(crash_text("/level"), "CRITICAL");
  EXPECT_EQ(crash_text("/host"), "crashing");
  EXPECT_EQ(crash_text("/service"), "shop");
}

constexpr Way kWays[] = {
    {"segfault", SIGSEGV, "crashed: SIGSEGV (address not mapped) at 0x0 in"},
    {"call_nothing", SIGSEGV, "crashed: SIGSEGV (address not mapped) at 0x0 in"},
    {"abort", SIGABRT, "crashed: SIGABRT in thread"},
    {"abort_blocked", SIGABRT, "crashed: SIGABRT in thread"},  // as the worker has it
    {"bus", SIGBUS, "crashed: SIGBUS (no memory behind the address) at 0x"},
    {"illegal", SIGILL, "crashed: SIGILL (illegal op"},
#if defined(__x86_64__)  // others divide by zero without a word
    {"division", SIGFPE, "crashed: SIGFPE (integer division by zero) at 0x"},
#endif
    {"stack_overflow", SIGSEGV, "crashed: SIGSEGV ("},
    {"lost_stack", SIGSEGV, "crashed: SIGSEGV (address not mapped) at 0x"},
    {"exception", SIGABRT, "crashed: std::terminate after std::_Nested_exception<"},
    {"terminate", SIGABRT, "crashed: std::terminate without an exception"},
    {"watchdog", SIGABRT, "crashed: SIGABRT sent by process "},
    {"all_locked", SIGSEGV, "crashed: SIGSEGV (address not mapped) at 0x0 in"},
};
INSTANTIATE_TEST_SUITE_P(All, WaysToCrashTest, ::testing::ValuesIn(kWays),
                         [](const auto& about) { return std::string(about.param.name); });

TEST_F(CrashHandlerTest, the_signal_stands_in_extra) {
  crash("segfault");
  deliver();
  EXPECT_EQ(crash_text("/extra"),
            R"({"signal":"SIGSEGV","signal_number":11,"code":1,"address":"0x0"})");
}

TEST_F(CrashHandlerTest, what_an_uncaught_exception_says_stands_in_exception) {
  crash("exception");
  deliver();
  EXPECT_THAT(crash_text("/exception"),
              AllOf(HasSubstr("logic_error>: no order\n"),
                    HasSubstr("caused by std::runtime_error: disk \"gone\"")));
}

TEST_F(CrashHandlerTest, a_call_through_a_null_pointer_shows_who_called) {
  crash("call_nothing");
  deliver();
  EXPECT_THAT(stack(), StartsWith("#0 0x0\n#1 0x"));
  EXPECT_THAT(stack(), HasSubstr("\n#2 0x"));
}

TEST_F(CrashHandlerTest, one_thread_of_eight_that_log_crashes) {
  EXPECT_EQ(crash("one_of_eight").signal, SIGSEGV);
  deliver();
  EXPECT_THAT(message(), MatchesRegex(".* in thread [0-9]+ \"worker\""));
  EXPECT_THAT(messages_, Contains("record 3"));
  EXPECT_THAT(messages_, Contains("busy"));
}

TEST_F(CrashHandlerTest, eight_threads_that_crash_at_once_leave_one_record) {
  EXPECT_EQ(crash("eight_of_eight").signal, SIGSEGV);
  deliver();
  EXPECT_THAT(message(), HasSubstr("SIGSEGV"));
}

TEST_F(CrashHandlerTest, a_previous_handler_is_called_after_the_record) {
  const Ending ending = crash("chained");
  EXPECT_EQ(ending.exit_code, 7);
  EXPECT_EQ(ending.output, "previous\n");
  deliver();
  EXPECT_THAT(message(), HasSubstr("SIGSEGV"));
}

TEST_F(CrashHandlerTest, a_previous_handler_sees_the_thread_as_it_was_interrupted) {
  const Ending ending = crash("call_nothing_chained");
  EXPECT_EQ(ending.exit_code, 7);
  EXPECT_EQ(ending.output, "previous\n");
}

TEST_F(CrashHandlerTest, a_previous_handler_for_one_signal_is_called_once) {
  const Ending ending = crash("chained_once");
  EXPECT_EQ(ending.signal, SIGSEGV);
  EXPECT_EQ(ending.output, "previous\n");
  deliver();
  EXPECT_THAT(message(), HasSubstr("SIGSEGV"));
}

TEST_F(CrashHandlerTest, a_previous_terminate_handler_is_called_after_the_record) {
  const Ending ending = crash("terminate_chained");
  EXPECT_EQ(ending.exit_code, 7);
  EXPECT_EQ(ending.output, "previous\n");
  deliver();
  EXPECT_THAT(message(), HasSubstr("std::terminate after"));
}

TEST_F(CrashHandlerTest, a_signal_that_was_ignored_is_no_crash_but_a_fault_is) {
  const Ending ending = crash("ignored");
  EXPECT_EQ(ending.output, "alive\n");
  EXPECT_EQ(ending.signal, SIGSEGV);
  deliver();
  EXPECT_THAT(message(), HasSubstr("address not mapped"));
}

TEST_F(CrashHandlerTest, a_fault_that_a_previous_handler_has_mended_is_no_crash) {
  const Ending ending = crash("survived");
  EXPECT_EQ(ending.output, "alive\n");
  EXPECT_EQ(ending.exit_code, 0);
  deliver();
  EXPECT_THAT(crashes_, IsEmpty());
}

TEST_F(CrashHandlerTest, the_crash_after_a_fault_that_was_mended_is_told_of) {
  EXPECT_EQ(crash("survived_then_abort").signal, SIGABRT);
  deliver();
  EXPECT_THAT(message(), HasSubstr("SIGABRT"));
}

// Whether it was mended, nobody knows but who mended it.
TEST_F(CrashHandlerTest, without_an_orderly_end_a_fault_that_was_mended_is_told_of) {
  EXPECT_EQ(crash("survived_then_killed").signal, SIGKILL);
  deliver();
  EXPECT_THAT(message(), HasSubstr("no permission for the address"));
}

TEST_F(CrashHandlerTest, a_previous_handler_may_jump_out_of_each_of_several_faults) {
  const Ending ending = crash("recovered");
  EXPECT_EQ(ending.output, "recovered 3 times\n");
  EXPECT_EQ(ending.signal, 0);
}

TEST_F(CrashHandlerTest, a_previous_handler_has_room_as_on_the_threads_own_stack) {
  const Ending ending = crash("chained_large");
  EXPECT_EQ(ending.output, "previous\n");
  EXPECT_EQ(ending.exit_code, 7);
}

TEST_F(CrashHandlerTest, system_calls_go_on_after_signals_as_they_would_have) {
  const Ending ending = crash("interrupted");
  EXPECT_EQ(ending.output, "previous\nalive\n");
  EXPECT_EQ(ending.exit_code, 0);
}

TEST_F(CrashHandlerTest, the_next_handler_puts_back_what_others_have_taken_away) {
  EXPECT_EQ(crash("installed_again").signal, SIGSEGV);
  deliver();
  EXPECT_THAT(crashes_, SizeIs(2));  // one for each handler
}

TEST_F(CrashHandlerTest, a_page_whose_file_was_cut_off_changes_nothing_of_how_the_process_ends) {
  EXPECT_EQ(crash("page_gone").signal, SIGSEGV);
}

TEST_F(CrashHandlerTest, a_process_that_may_open_no_more_files_tells_where_it_was) {
  EXPECT_EQ(crash("no_descriptors").signal, SIGABRT);
  deliver();
  EXPECT_THAT(stack(), HasSubstr("crash_program+0x"));
}

TEST_F(CrashHandlerTest, each_handler_gets_the_record_in_its_spool) {
  EXPECT_EQ(crash("two_handlers").signal, SIGSEGV);
  deliver(directory_.path() + "/second");
  EXPECT_THAT(message(), HasSubstr("SIGSEGV"));
  EXPECT_THAT(messages_, IsEmpty());
  const SpoolDrain::Report report =
      SpoolDrain::create(options(directory_.path())).value()->run({}).value();
  EXPECT_EQ(report.progress.delivered, 4U);
}

// ---- forks

TEST_F(CrashHandlerTest, a_child_that_has_logged_leaves_a_record_of_its_own) {
  EXPECT_EQ(crash("child").exit_code, SIGSEGV);
  deliver();
  EXPECT_THAT(messages_,
              ::testing::UnorderedElementsAre("record 1", "record 2", "record 3", "child"));
  EXPECT_THAT(message(), HasSubstr("SIGSEGV"));
}

TEST_F(CrashHandlerTest, a_child_that_has_logged_nothing_leaves_its_parents_page_alone) {
  EXPECT_EQ(crash("silent_child").exit_code, SIGSEGV);
  deliver();
  EXPECT_THAT(crashes_, IsEmpty());
  EXPECT_THAT(messages_, SizeIs(3));
}

TEST_F(CrashHandlerTest, the_crash_of_a_child_that_shares_its_memory_is_not_the_parents) {
  EXPECT_EQ(crash("vfork_child").signal, SIGABRT);
  deliver();
  EXPECT_THAT(message(), HasSubstr("SIGABRT"));
}

// ---- no crash

TEST_F(CrashHandlerTest, a_closed_handler_is_told_of_no_crash) {
  EXPECT_EQ(crash("closed").signal, SIGSEGV);
  deliver();
  EXPECT_THAT(crashes_, IsEmpty());
  EXPECT_THAT(messages_, SizeIs(3));
}

TEST_F(CrashHandlerTest, a_process_that_was_killed_leaves_an_empty_page_that_nobody_hears_of) {
  EXPECT_EQ(crash("killed").signal, SIGKILL);
  EXPECT_THAT(list_spool(directory_.path()).value(), SizeIs(2));
  deliver();
  EXPECT_THAT(crashes_, IsEmpty());
  EXPECT_THAT(messages_, SizeIs(3));
}

TEST_F(CrashHandlerTest, an_orderly_end_leaves_no_page) {
  EXPECT_EQ(crash("end").exit_code, 0);
  EXPECT_THAT(list_spool(directory_.path()).value(), SizeIs(1));
  deliver();
  EXPECT_THAT(crashes_, IsEmpty());
}

// ---- the handler of the next start, and of this process

TEST_F(CrashHandlerTest, the_next_handler_on_the_spool_delivers_it_and_has_a_page_of_its_own) {
  crash("segfault");
  Options chosen = options(directory_.path());
  chosen.crash_handler = true;
  const auto next = Handler::create(chosen).value();
  while (next->stats().adopted_delivered < 4) std::this_thread::yield();
  EXPECT_TRUE(next->close());
  take_apart();
  EXPECT_THAT(message(), HasSubstr("SIGSEGV"));
  EXPECT_THAT(list_spool(directory_.path()).value(), IsEmpty());
}

TEST_F(CrashSpoolTest, a_page_of_its_own_starts_no_worker) {
  Options chosen = options(directory_.path());
  chosen.crash_handler = true;
  const std::size_t before = testing::threads();
  const auto handler = Handler::create(chosen).value();
  EXPECT_EQ(testing::threads(), before);
  EXPECT_THAT(list_spool(directory_.path()).value(), SizeIs(1));
  EXPECT_TRUE(handler->close());
  EXPECT_THAT(list_spool(directory_.path()).value(), IsEmpty());
}

TEST_F(CrashSpoolTest, without_room_for_a_page_the_handler_works_and_says_so) {
  Options chosen = options(directory_.path());
  chosen.crash_handler = true;
  const auto made = without_room([&] { return Handler::create(chosen); });
  ASSERT_TRUE(made.ok());
  EXPECT_THAT(reports_, ElementsAre(AllOf(HasSubstr("a crash will not be recorded: "),
                                          HasSubstr("File too large"))));
  EXPECT_THAT(list_spool(directory_.path()).value(), IsEmpty());
  EXPECT_TRUE((*made)->log(Level::info, "all the same"));
  EXPECT_TRUE((*made)->close());
}

// Whose report forks: no lock of the handler may be held then.
TEST_F(CrashForkTest, a_report_that_there_is_no_room_for_a_page_may_fork) {
  Options chosen = options(directory_.path());
  chosen.crash_handler = true;
  int status = -1;
  chosen.report = [&status](std::string_view) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(0);
    ::waitpid(child, &status, 0);
  };
  const auto made = without_room([&] { return Handler::create(chosen); });
  EXPECT_TRUE(made.ok());
  EXPECT_EQ(status, 0);
}

TEST_F(CrashForkTest, a_child_without_room_for_a_page_of_its_own_says_so) {
  Options chosen = options(directory_.path());
  chosen.crash_handler = true;
  const auto handler = Handler::create(chosen).value();
  EXPECT_THAT(reports_, IsEmpty());
  const pid_t child = ::fork();
  if (child == 0) {
    without_room([&] { return handler->log(Level::info, "child"); });
    handler->flush();
    EXPECT_THAT(reports_, Contains(HasSubstr("a crash will not be recorded: ")));
    ::_exit(HasFailure() ? 1 : 0);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST(CrashHandlerOptionTest, it_needs_a_spool) {
  Options options;
  options.api_endpoint = "http://127.0.0.1:9/api/logs";
  options.crash_handler = true;
  const auto made = Handler::create(options);
  EXPECT_EQ(made.status().code(), StatusCode::invalid_argument);
  EXPECT_EQ(made.status().message(), "crash_handler must come with spool_dir");
}

}  // namespace
}  // namespace log_aggregator
