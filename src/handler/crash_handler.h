// CrashHandler: one last record, of level CRITICAL, when the process crashes
// (Options::crash_handler).
//
// The first one in a process makes that SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT and std::terminate
// come by here; what was installed for them before is called afterwards, so that the process ends
// as it would have without. That stays for good and does nothing where no CrashHandler is left.
// Each live one gets the record into a CrashPage of its own spool. One crash is told of, the first:
// neither a second fault, nor another thread's, nor the SIGABRT after std::terminate writes again.
// Where what was installed before returns, it was none perhaps: the next one then takes its place,
// and the record is gone where the CrashHandler is destroyed in order.
//
// Nothing in a signal's handler allocates, takes a mutex or throws, and memory that a signal's
// handler needs is made beforehand. A thread whose stack has overflowed has none for it: the thread
// that makes the first one is given another stack for that (sigaltstack(2)), where it has none.
//
// Thread-compatible; crashes may come on any thread meanwhile.

#pragma once

#include <sys/types.h>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "log_aggregator/options.h"
#include "log_aggregator/status.h"
#include "src/handler/crash_record.h"
#include "src/journal/crash_page.h"

namespace log_aggregator {

class CrashHandler {
 public:
  // `prefix` as RecordWriter takes it; `mapped` as CrashPage does.
  static Result<std::unique_ptr<CrashHandler>> create(const Options& options,
                                                      std::string_view prefix, bool mapped);
  // Waits, for a moment at most, for a record that is being written.
  ~CrashHandler();
  CrashHandler(const CrashHandler&) = delete;
  CrashHandler& operator=(const CrashHandler&) = delete;

  // In a forked child, where it is its parent's. It must not be destroyed then.
  void leave_in_child();

  // Async-signal-safe. Nothing in another process than the one that made it.
  bool is_of(pid_t process) const { return process_ == process; }
  void record(const Crash& crash);

 private:
  CrashHandler(std::unique_ptr<CrashPage> page, std::string fields, std::size_t capacity);

  const pid_t process_;
  unsigned recorded_at_ = 0;  // what `survivals` was then
  const std::string fields_;
  const std::size_t capacity_;
  const std::unique_ptr<char[]> memory_;  // for the record
  const std::unique_ptr<CrashPage> page_;
};

}  // namespace log_aggregator
