#include "src/handler/crash_handler.h"

#include <cxxabi.h>
#include <poll.h>
#include <setjmp.h>  // NOLINT(modernize-deprecated-headers): sigsetjmp
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <typeinfo>
#include <utility>

#include "src/base/exception_text.h"
#include "src/base/files.h"
#include "src/handler/crash_stack.h"

namespace log_aggregator {
namespace {

constexpr std::array kFaults{SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

// What the process had for each of them before us.
std::array<struct sigaction, kFaults.size()> previous;
// That one was to be called once only, and was.
constinit std::array<std::atomic<bool>, kFaults.size()> previous_spent{};
std::terminate_handler previous_terminate = nullptr;

// Those that are told of a crash. Sequentially consistent, as are the two below: either a crash
// sees that one is gone from here, or who takes it away sees the crash and waits.
constexpr std::size_t kMostHandlers = 64;
constinit std::array<std::atomic<CrashHandler*>, kMostHandlers> handlers{};
constinit std::atomic<pid_t> crashing_thread{0};  // 0: none has
constinit std::atomic<bool> recorded{false};
// How often what was installed before has returned from what looked like a crash.
constinit std::atomic<unsigned> survivals{0};

// Used by the thread that has crashed.
constinit CrashStack stack;
sigjmp_buf looks_no_further;
constinit std::atomic<pid_t> looking_thread{0};

pid_t thread_id() { return static_cast<pid_t>(::syscall(SYS_gettid)); }

std::int64_t now_ns() {
  constexpr std::int64_t kNsInS = 1'000'000'000;
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * kNsInS + now.tv_nsec;
}

std::size_t index_of(int signal) {
  return static_cast<std::size_t>(std::find(kFaults.begin(), kFaults.end(), signal) -
                                  kFaults.begin());
}

// ---- the record

// Of another thread than the calling one. It should take milliseconds; where it hangs, the process
// is not to hang with it.
void wait_for_record() {
  constexpr int kPauseMs = 10;
  constexpr int kMostPauses = 200;
  const pid_t thread = crashing_thread.load();
  if (thread == 0 || thread == thread_id()) return;
  for (int i = 0; i < kMostPauses && crashing_thread.load() == thread && !recorded.load(); ++i) {
    ::poll(nullptr, 0, kPauseMs);
  }
}

// Calls `look`, which reads a stack that may be damaged, or writes to a file that may be gone: a
// fault in it ends it and nothing else.
template <typename Look>
void guarded(const Look& look) {
  if (sigsetjmp(looks_no_further, 1) == 0) {
    looking_thread.store(thread_id());
    sigset_t faults;
    sigset_t before;
    ::sigemptyset(&faults);
    for (const int fault : kFaults) ::sigaddset(&faults, fault);
    ::pthread_sigmask(SIG_UNBLOCK, &faults, &before);
    look();
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
  looking_thread.store(0);
}

bool anybody_listens(pid_t process) {
  return std::any_of(handlers.begin(), handlers.end(), [process](const auto& slot) {
    const CrashHandler* const handler = slot.load();
    return handler != nullptr && handler->is_of(process);
  });
}

// Fills in who, when and where, and tells all that there are in this process. The first time only;
// a thread that comes second returns when the first one's record is written.
template <typename Collect>
void record_crash(Crash& crash, const Collect& collect) {
  crash.process = ::getpid();
  if (!anybody_listens(static_cast<pid_t>(crash.process))) return;
  const pid_t thread = thread_id();
  pid_t none = 0;
  if (!crashing_thread.compare_exchange_strong(none, thread)) return wait_for_record();
  std::array<char, 16> name{};
  ::prctl(PR_GET_NAME, name.data());
  name.back() = '\0';
  crash.thread = thread;
  crash.thread_name = name.data();
  crash.time_ns = now_ns();
  stack.clear();
  guarded(collect);
  guarded([] { stack.resolve(); });
  crash.stack = &stack;
  for (const auto& slot : handlers) {
    CrashHandler* const handler = slot.load();
    if (handler != nullptr && handler->is_of(static_cast<pid_t>(crash.process))) {
      guarded([&] { handler->record(crash); });
    }
  }
  recorded.store(true);
}

// ---- signals

bool is_default(const struct sigaction& action) {
  return (action.sa_flags & SA_SIGINFO) == 0 && action.sa_handler == SIG_DFL;
}

bool is_ignored(const struct sigaction& action) {
  return (action.sa_flags & SA_SIGINFO) == 0 && action.sa_handler == SIG_IGN;
}

// The signal comes again when our handler returns, with all that was known of it, and does what it
// would have done.
void die_of(siginfo_t& signal) {
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  ::sigaction(signal.si_signo, &action, nullptr);
  const long sent =
      ::syscall(SYS_rt_tgsigqueueinfo, ::getpid(), thread_id(), signal.si_signo, &signal);
  if (sent != 0) ::raise(signal.si_signo);
}

// Who handled the signal has returned: the process lives on, or dies in another way.
void note_survival() {
  if (crashing_thread.load() != thread_id()) return;
  survivals.fetch_add(1);
  recorded.store(false);
  crashing_thread.store(0);
}

// As the system would call it, but for the other stack that it may run on.
void call_previous(const struct sigaction& before, siginfo_t& signal, void* context) {
  if ((before.sa_flags & SA_NODEFER) != 0) {
    sigset_t itself;
    ::sigemptyset(&itself);
    ::sigaddset(&itself, signal.si_signo);
    ::pthread_sigmask(SIG_UNBLOCK, &itself, nullptr);
  }
  if ((before.sa_flags & SA_SIGINFO) != 0) {
    before.sa_sigaction(signal.si_signo, &signal, context);
  } else {
    before.sa_handler(signal.si_signo);
  }
}

void pass_on(siginfo_t& signal, void* context) {
  const std::size_t index = index_of(signal.si_signo);
  const struct sigaction& before = previous[index];
  // The system does not let a fault be ignored, only a signal that was sent.
  if (is_default(before) || is_ignored(before) || previous_spent[index].load()) {
    return die_of(signal);
  }
  if ((before.sa_flags & static_cast<int>(SA_RESETHAND)) != 0) previous_spent[index].store(true);
  call_previous(before, signal, context);
  note_survival();
}

void on_signal(int number, siginfo_t* signal, void* context) {
  const int kept_errno = errno;
  if (looking_thread.load() == thread_id()) siglongjmp(looks_no_further, 1);
  const bool was_sent = signal->si_code <= 0;
  if (was_sent && is_ignored(previous[index_of(number)])) return;
  auto& interrupted = *static_cast<ucontext_t*>(context);
  const Interruption kept = interruption_of(interrupted);
  Crash crash;
  crash.signal = signal;
  record_crash(crash, [&interrupted] { stack.collect(interrupted); });
  set_interruption(interrupted, kept);
  errno = kept_errno;
  pass_on(*signal, context);
}

// ---- std::terminate

// What is known of the exception that nobody has caught. It may be one that says that there is no
// memory.
void describe_exception(std::string& type, std::string& text) {
  const std::type_info* const thrown = abi::__cxa_current_exception_type();
  if (thrown == nullptr) return;
  try {
    type = demangle(thrown->name());
    text = exception_text(std::current_exception());
  } catch (const std::exception&) {
  }
}

[[noreturn]] void on_terminate() {
  const void* const caller = __builtin_extract_return_addr(__builtin_return_address(0));
  std::string type;
  std::string text;
  describe_exception(type, text);
  Crash crash;
  crash.exception_type = type;
  crash.exception = text;
  record_crash(crash, [caller] { stack.collect_from(caller); });
  previous_terminate();
  std::abort();
}

// ---- installing it

// What was installed before runs on it, too, and may have counted on the thread's own. Memory is
// taken as far as it is used; below it is none.
void give_this_thread_a_stack_for_signals() {
  constexpr std::size_t kBytes = 1 << 20;
  constexpr std::size_t kGuard = 64 << 10;  // a multiple of any system's page
  stack_t now{};
  if (::sigaltstack(nullptr, &now) != 0 || (now.ss_flags & SS_DISABLE) == 0) return;
  void* const memory = ::mmap(nullptr, kGuard + kBytes, PROT_NONE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return;
  stack_t own{};
  own.ss_sp = static_cast<char*>(memory) + kGuard;
  own.ss_size = kBytes;
  if (::mprotect(own.ss_sp, kBytes, PROT_READ | PROT_WRITE) == 0) ::sigaltstack(&own, nullptr);
}

// Loads and binds what the handlers will call.
void rehearse() {
  stack.collect_from(__builtin_extract_return_addr(__builtin_return_address(0)));
  stack.resolve();
  std::array<char, 1024> text{};
  Crash crash;
  crash.stack = &stack;
  write_crash_record(crash, {}, text.data(), text.size());
}

bool is_ours(const struct sigaction& action) {
  return (action.sa_flags & SA_SIGINFO) != 0 && action.sa_sigaction == &on_signal;
}

void install_signal(std::size_t index, const struct sigaction& before) {
  previous[index] = before;
  previous_spent[index].store(false);
  struct sigaction own {};
  own.sa_sigaction = &on_signal;
  own.sa_flags = SA_SIGINFO | SA_ONSTACK;
  // A system call goes on afterwards where it would have.
  own.sa_flags |= is_ignored(before) ? SA_RESTART : before.sa_flags & SA_RESTART;
  own.sa_mask = before.sa_mask;
  ::sigaction(kFaults[index], &own, nullptr);
}

// Later ones put back what others have taken away. Who stands in our place with a handler may call
// ours, which must not call theirs.
void install() {
  static constinit std::atomic<bool> installing{false};
  static constinit bool installed = false;
  if (installing.exchange(true)) return;
  if (!installed) {
    rehearse();
    give_this_thread_a_stack_for_signals();
    previous_terminate = std::get_terminate();
    std::set_terminate(&on_terminate);
  }
  for (std::size_t i = 0; i < kFaults.size(); ++i) {
    struct sigaction now {};
    if (::sigaction(kFaults[i], nullptr, &now) != 0 || is_ours(now)) continue;
    if (!installed || is_default(now) || is_ignored(now)) install_signal(i, now);
  }
  installed = true;
  installing.store(false);
}

bool enlist(CrashHandler& handler) {
  return std::any_of(handlers.begin(), handlers.end(), [&handler](auto& slot) {
    CrashHandler* nobody = nullptr;
    return slot.compare_exchange_strong(nobody, &handler);
  });
}

void delist(CrashHandler& handler) {
  for (auto& slot : handlers) {
    CrashHandler* listed = &handler;
    slot.compare_exchange_strong(listed, nullptr);
  }
}

}  // namespace

Result<std::unique_ptr<CrashHandler>> CrashHandler::create(const Options& options,
                                                           std::string_view prefix, bool mapped) {
  std::string fields = crash_record_fields(prefix);
  const std::size_t capacity = std::min(options.max_record_bytes, crash_record_room(fields.size()));
  auto page = CrashPage::create(real_files(), options.spool_dir, mapped, capacity, now_ns());
  if (!page.ok()) return page.status();
  std::unique_ptr<CrashHandler> handler(
      new CrashHandler(std::move(*page), std::move(fields), capacity));
  install();
  if (enlist(*handler)) return handler;
  return Status::unavailable("more than " + std::to_string(kMostHandlers) +
                             " handlers with a crash handler");
}

CrashHandler::CrashHandler(std::unique_ptr<CrashPage> page, std::string fields,
                           std::size_t capacity)
    : process_(::getpid()),
      fields_(std::move(fields)),
      capacity_(capacity),
      memory_(new char[capacity]),
      page_(std::move(page)) {}

CrashHandler::~CrashHandler() {
  delist(*this);
  wait_for_record();
  if (recorded_at_ != survivals.load()) page_->forget();
}

void CrashHandler::leave_in_child() {
  delist(*this);
  page_->leave_in_child();
  // A parent that has lived on is no reason for its child to be silent.
  crashing_thread.store(0);
  recorded.store(false);
}

void CrashHandler::record(const Crash& crash) {
  const std::string_view text = write_crash_record(crash, fields_, memory_.get(), capacity_);
  if (text.empty()) return;
  recorded_at_ = survivals.load();
  page_->write(text, crash.time_ns);
}

}  // namespace log_aggregator
