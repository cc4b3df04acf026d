// A program that logs and then dies in the way that it is told: crash_program WAY SPOOL. What it
// logs stays in the spool, as nobody listens where it would be sent.

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>  // NOLINT(modernize-deprecated-headers): a plain setjmp
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "log_aggregator/handler.h"

namespace {

using namespace log_aggregator;

constexpr int kRecords = 3;

// The optimiser must not see what these are.
volatile int zero = 0;
int* volatile nowhere = nullptr;
void (*volatile no_function)() = nullptr;

Options options_for(const std::string& spool) {
  Options options;
  options.api_endpoint = "http://127.0.0.1:9/api/logs";
  options.host = "crashing";
  options.fields.push_back(static_field("service", "shop"));
  options.spool_dir = spool;
  options.crash_handler = true;
  options.close_timeout = std::chrono::milliseconds(0);
  options.report = [](std::string_view) {};
  return options;
}

// The program's handler; null once it is closed.
std::unique_ptr<Handler> handler;

void say(std::string_view text) {
  [[maybe_unused]] const ssize_t written = ::write(STDOUT_FILENO, text.data(), text.size());
}

[[gnu::noinline]] void segfault() { *nowhere = 1; }
[[gnu::noinline]] void call_nothing() { no_function(); }

[[gnu::noinline]] int fill_the_stack(int depth) {
  volatile char room[4096];
  room[0] = static_cast<char>(depth);
  if (depth < 0) return 0;
  return fill_the_stack(depth + 1) + room[0];
}

void read_behind_the_end_of_a_file() {
  constexpr std::size_t kBytes = 4096;
  std::FILE* const file = std::tmpfile();
  void* const memory = ::mmap(nullptr, kBytes, PROT_READ, MAP_SHARED, ::fileno(file), 0);
  zero = *static_cast<volatile unsigned char*>(memory);
}

void lose_the_stack() {
#if defined(__x86_64__)
  asm volatile("mov $8, %rsp\n mov $8, %rbp\n movl $0, 0");
#else
  asm volatile("mov x9, #8\n mov sp, x9\n str x9, [sp]");
#endif
}

void throw_nested() {
  try {
    throw std::runtime_error("disk \"gone\"");
  } catch (const std::exception&) {
    std::throw_with_nested(std::logic_error("no order"));
  }
}
void throw_out_of_noexcept() noexcept { throw_nested(); }

// Eight threads log meanwhile, for as long as it takes.
void crash_beside_threads_that_log(int crashing) {
  constexpr int kThreads = 8;
  static std::atomic<int> logging{0};
  static std::atomic<bool> go{false};
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([crashes = i < crashing] {
      ::pthread_setname_np(::pthread_self(), "worker");
      handler->log(Level::info, "busy");
      logging.fetch_add(1);
      while (!go.load() || !crashes) handler->log(Level::info, "busy");
      segfault();
    });
  }
  while (logging.load() < kThreads) std::this_thread::yield();
  go.store(true);
  for (std::thread& thread : threads) thread.join();
}

// ---- forks

// Runs it in a child, and ends as that has ended.
void in_child(const std::function<void()>& crash) {
  const pid_t child = ::fork();
  if (child == 0) {
    crash();
    ::_exit(1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  handler.reset();
  ::_exit(WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

// A child sends them to this process while it waits for a byte, which it then sends.
void read_while_signals_come(std::initializer_list<int> signals) {
  std::array<int, 2> pipe{};
  if (::pipe(pipe.data()) != 0) return;
  const pid_t reader = ::getpid();
  const std::string stat = "/proc/" + std::to_string(reader) + "/stat";
  const auto waits = [&] {
    std::string number;
    std::string name;
    std::string state;
    std::ifstream(stat) >> number >> name >> name >> state;
    return state == "S";
  };
  if (::fork() == 0) {
    for (const int signal : signals) {
      while (!waits()) std::this_thread::yield();
      ::kill(reader, signal);
    }
    while (!waits()) std::this_thread::yield();
    ::_exit(::write(pipe[1], "x", 1) == 1 ? 0 : 1);
  }
  char byte = 0;
  say(::read(pipe[0], &byte, 1) == 1 ? "alive\n" : "interrupted\n");
}

// The room for a crash is the smallest of the spool's files that hold records.
void truncate_small_files(const std::string& spool) {
  constexpr std::uintmax_t kSmall = 256 << 10;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(spool)) {
    if (entry.path().extension() == ".segment" && entry.file_size() < kSmall) {
      std::filesystem::resize_file(entry.path(), 0);
    }
  }
}

// Hooks of forks run in the opposite order of their registration: this one before any of the
// library's makes it the last, when the thread that forks holds all mutexes of the handler.
bool crash_while_all_is_locked = false;
[[gnu::constructor(101)]] void register_first() {
  ::pthread_atfork(
      [] {
        if (crash_while_all_is_locked) segfault();
      },
      nullptr, nullptr);
}

// ---- what was installed before

void previous_plain(int) { say("previous\n"); }
void previous_exits(int, siginfo_t* signal, void*) {
  say(signal->si_addr == nullptr ? "previous\n" : "wrong\n");
  ::_exit(7);
}

// Where the thread was: nowhere, though its caller was looked for.
void previous_looks_at_registers(int, siginfo_t*, void* context) {
  const auto& registers = static_cast<const ucontext_t*>(context)->uc_mcontext;
#if defined(__x86_64__)
  const bool nowhere_at_all = registers.gregs[REG_RIP] == 0;
#else
  const bool nowhere_at_all = registers.pc == 0;
#endif
  say(nowhere_at_all ? "previous\n" : "wrong\n");
  ::_exit(7);
}

// A page that may not be read, until this is called.
void* forbidden_page = nullptr;
constexpr std::size_t kPage = 4096;
void previous_permits(int) { ::mprotect(forbidden_page, kPage, PROT_READ | PROT_WRITE); }
void read_forbidden_page() {
  forbidden_page = ::mmap(nullptr, kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  zero = *static_cast<volatile unsigned char*>(forbidden_page);
  say("alive\n");
}

jmp_buf recovered;
void previous_jumps(int) { longjmp(recovered, 1); }
void recover_three_times() {
  static volatile int times = 0;
  if (setjmp(recovered) != 0) times = times + 1;
  if (times < 3) segfault();
  say("recovered 3 times\n");
}

// Far more than a stack for signals commonly has.
void previous_takes_room(int) {
  volatile char room[512 << 10];
  for (std::size_t i = 0; i < sizeof room; i += kPage) room[i] = 1;
  say("previous\n");
  ::_exit(7);
}

void install_before(std::string_view way) {
  struct sigaction action {};
  if (way == "call_nothing_chained") {
    action.sa_sigaction = &previous_looks_at_registers;
    action.sa_flags = SA_SIGINFO;
    ::sigaction(SIGSEGV, &action, nullptr);
  } else if (way == "chained") {
    action.sa_sigaction = &previous_exits;
    action.sa_flags = SA_SIGINFO;
    ::sigaction(SIGSEGV, &action, nullptr);
  } else if (way == "chained_once") {
    action.sa_handler = &previous_plain;
    action.sa_flags = static_cast<int>(SA_RESETHAND);
    ::sigaction(SIGSEGV, &action, nullptr);
  } else if (way == "survived" || way == "survived_then_abort" || way == "survived_then_killed") {
    action.sa_handler = &previous_permits;
    ::sigaction(SIGSEGV, &action, nullptr);
  } else if (way == "recovered") {
    action.sa_handler = &previous_jumps;
    action.sa_flags = static_cast<int>(SA_NODEFER);
    ::sigaction(SIGSEGV, &action, nullptr);
  } else if (way == "chained_large") {
    action.sa_handler = &previous_takes_room;
    ::sigaction(SIGSEGV, &action, nullptr);
  } else if (way == "interrupted") {
    action.sa_handler = &previous_plain;
    action.sa_flags = SA_RESTART;
    ::sigaction(SIGABRT, &action, nullptr);
    ::signal(SIGBUS, SIG_IGN);
  } else if (way == "ignored") {
    ::signal(SIGSEGV, SIG_IGN);
  } else if (way == "terminate_chained") {
    std::set_terminate([] {
      say("previous\n");
      ::_exit(7);
    });
  }
}

const std::map<std::string_view, std::function<void(const std::string& spool)>>& ways() {
  static const std::map<std::string_view, std::function<void(const std::string& spool)>> all{
      {"segfault", [](auto&) { segfault(); }},
      {"call_nothing", [](auto&) { call_nothing(); }},
      {"call_nothing_chained", [](auto&) { call_nothing(); }},
      {"abort", [](auto&) { std::abort(); }},
      {"abort_blocked",
       [](auto&) {
         sigset_t signals;
         ::sigfillset(&signals);
         ::pthread_sigmask(SIG_SETMASK, &signals, nullptr);
         std::abort();
       }},
      {"division", [](auto&) { zero = 10 / zero; }},
      {"illegal", [](auto&) { __builtin_trap(); }},
      {"bus", [](auto&) { read_behind_the_end_of_a_file(); }},
      {"stack_overflow", [](auto&) { zero = fill_the_stack(0); }},
      {"lost_stack", [](auto&) { lose_the_stack(); }},
      {"exception", [](auto&) { throw_out_of_noexcept(); }},
      {"terminate", [](auto&) { std::terminate(); }},
      {"terminate_chained", [](auto&) { throw_out_of_noexcept(); }},
      {"chained", [](auto&) { segfault(); }},
      {"chained_once", [](auto&) { segfault(); }},
      {"ignored",
       [](auto&) {
         ::raise(SIGSEGV);
         say("alive\n");
         segfault();
       }},
      {"survived", [](auto&) { read_forbidden_page(); }},
      {"survived_then_abort",
       [](auto&) {
         read_forbidden_page();
         std::abort();
       }},
      {"survived_then_killed",
       [](auto&) {
         read_forbidden_page();
         ::raise(SIGKILL);
       }},
      {"recovered", [](auto&) { recover_three_times(); }},
      {"chained_large", [](auto&) { segfault(); }},
      {"interrupted",
       [](auto&) {
         read_while_signals_come({SIGABRT, SIGBUS});
       }},
      {"installed_again",
       [](const std::string& spool) {
         ::signal(SIGSEGV, SIG_DFL);
         const auto second = Handler::create(options_for(spool)).value();
         segfault();
       }},
      {"page_gone",
       [](const std::string& spool) {
         truncate_small_files(spool);
         segfault();
       }},
      {"no_descriptors",
       [](auto&) {
         rlimit limit{};
         ::getrlimit(RLIMIT_NOFILE, &limit);
         limit.rlim_cur = static_cast<rlim_t>(::dup(STDOUT_FILENO)) + 1;
         ::setrlimit(RLIMIT_NOFILE, &limit);
         std::abort();
       }},
      {"watchdog",
       [](auto&) {
         const pid_t watched = ::getpid();
         if (::fork() == 0) ::_exit(::kill(watched, SIGABRT));
         while (true) ::pause();
       }},
      {"one_of_eight", [](auto&) { crash_beside_threads_that_log(1); }},
      {"eight_of_eight", [](auto&) { crash_beside_threads_that_log(8); }},
      {"all_locked",
       [](auto&) {
         crash_while_all_is_locked = true;
         ::fork();
       }},
      {"child",
       [](auto&) {
         in_child([] {
           handler->log(Level::info, "child");
           segfault();
         });
       }},
      {"vfork_child",
       [](auto&) {
         if (::vfork() == 0) segfault();
         std::abort();
       }},
      {"silent_child", [](auto&) { in_child(segfault); }},
      {"two_handlers",
       [](const std::string& spool) {
         const auto second = Handler::create(options_for(spool + "/second")).value();
         segfault();
       }},
      {"closed",
       [](auto&) {
         handler->close();
         segfault();
       }},
      {"killed", [](auto&) { ::raise(SIGKILL); }},
      {"end", [](auto&) {}},
  };
  return all;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3 || !ways().contains(arguments[1])) return 2;
  const std::string_view way = arguments[1];
  ::pthread_setname_np(::pthread_self(), "main \"x\"");
  install_before(way);
  auto made = Handler::create(options_for(arguments[2]));
  if (!made.ok()) return 3;
  handler = std::move(*made);
  for (int i = 1; i <= kRecords; ++i) handler->log(Level::info, "record " + std::to_string(i));
  ways().at(way)(arguments[2]);
  handler.reset();
  return 0;
}
