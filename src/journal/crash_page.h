// CrashPage: room for one record in the spool, made ready beforehand, for a process that crashes.
//
// It is a journal of its own beside the process's, with one segment that is empty until then: who
// dies without a crash leaves a journal with nothing to deliver, and a crash record is an orphan
// like any other. Created, destroyed and left by one thread at a time; write() may be called at any
// time between, on any thread.

#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "log_aggregator/status.h"
#include "src/base/files.h"
#include "src/journal/segment.h"
#include "src/journal/spool.h"

namespace log_aggregator {

class CrashPage {
 public:
  // For a record of at most that many bytes. `mapped` as in Journal::SpoolPlan.
  static Result<std::unique_ptr<CrashPage>> create(Files& files, const std::string& root,
                                                   bool mapped, std::size_t record_bytes,
                                                   std::int64_t now_ns);
  // Removes the journal, or leaves it to be delivered where a record was written.
  ~CrashPage();
  CrashPage(const CrashPage&) = delete;
  CrashPage& operator=(const CrashPage&) = delete;

  const std::string& id() const { return spool_->id(); }

  // In the place of what was written before. Async-signal-safe: no allocation, no mutex. False
  // where the file cannot be written.
  bool write(std::string_view record, std::int64_t time_ns);
  // The process lives on: what was written is only left to be delivered where it dies without
  // destroying this.
  void forget() { written_ = false; }

  // In a forked child, where it is its parent's: closes what was inherited. Nothing else may be
  // done with it then, not even destroying it; the memory is not the child's.
  void leave_in_child();

 private:
  explicit CrashPage(std::unique_ptr<Spool> spool) : spool_(std::move(spool)) {}

  const std::unique_ptr<Spool> spool_;
  std::unique_ptr<Segment> segment_;
  bool written_ = false;
};

}  // namespace log_aggregator
