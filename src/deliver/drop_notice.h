// DropNotice: the record by which whoever reads the logs learns that some are missing. Its logger
// is `log_aggregator.dropped`, and it counts what was dropped since the one before, by cause and
// level. One in 30 s at most. Used by the worker only.

#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "log_aggregator/json_writer.h"
#include "log_aggregator/options.h"
#include "log_aggregator/stats.h"
#include "src/base/clock.h"

namespace log_aggregator {

class DropNotice {
 public:
  static constexpr int kSeverity = 30;  // WARNING, which may use the reserved tenth of the queue

  // Refers to both, which must outlive it.
  DropNotice(const Options& options, const Clock& clock) : options_(options), clock_(clock) {}

  // Whether it is time to tell, of the drops counted so far and of those in spools of others;
  // `now` means that there is no later.
  bool is_due(const DropCounts& dropped, std::uint64_t adopted, bool now);
  // When is_due() will say so of itself.
  Clock::TimePoint due() const { return due_; }
  // The record, a JSON object.
  std::string write(const DropCounts& dropped, std::uint64_t adopted) const;
  // It was queued under this number; 0: it was not, and is still due.
  void sent(std::uint64_t sequence, const DropCounts& dropped, std::uint64_t adopted);

  // The newest notice's. That it was dropped itself is not told by another one.
  std::uint64_t last_sequence() const { return last_sequence_; }
  void forget(DropCause cause, int severity);

 private:
  void write_counts(const DropCounts& dropped, JsonWriter& json) const;

  const Options& options_;
  const Clock& clock_;
  DropCounts told_{};
  std::uint64_t adopted_told_ = 0;
  Clock::TimePoint due_ = Clock::TimePoint::max();
  std::uint64_t last_sequence_ = 0;
};

}  // namespace log_aggregator
