// Journal: the bounded queue between log calls and delivery, a sequence of segments.
//
//   append ->  [ segment ][ segment ][ segment ]  -> peek/advance -> settle
//              oldest                 appended to
//
// Any thread appends; one thread, the worker, reads and settles. Appending takes a mutex and copies
// the record. A record gets the next sequence number when it is appended and stays in memory, at
// its place, until it is settled: delivered, or given up for a cause. Settling goes in the order of
// sequence numbers; segments without unsettled records are recycled.
//
// The journal keeps the books, too: at any moment
//   accepted = delivered + pending + the sum of dropped.

#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string_view>

#include "log_aggregator/options.h"
#include "log_aggregator/stats.h"
#include "src/base/mutex.h"
#include "src/journal/segment.h"

namespace log_aggregator {

using DropCounts = std::array<std::uint64_t, kDropCauses>;

class Journal {
 public:
  static constexpr std::uint64_t kNoLoss = UINT64_MAX;

  struct Limits {
    std::size_t capacity_bytes = 0;  // of unsettled records, frames included
    std::size_t segment_bytes = 0;   // a record that needs more gets a segment of its own
    Overflow overflow = Overflow::drop_newest;
    std::chrono::milliseconds block_timeout{0};
  };

  struct Appended {
    bool taken = false;
    DropCause cause = DropCause::queue_full;  // why not, where it was not taken
    std::uint64_t sequence = 0;
    bool wake = false;  // the worker waits for just this: wake it
  };

  // What became of the records up to a sequence number, counted since the last settlement.
  struct Settlement {
    std::uint64_t through = 0;           // sequence number of the last one
    std::uint64_t records = 0;           // how many were read, whatever became of them
    std::uint64_t bytes = 0;             // of their payload
    DropCounts dropped{};                // those of them that were given up; the rest was delivered
    std::uint64_t first_lost = kNoLoss;  // sequence number of the first that was given up
    std::uint64_t last_lost = 0;         // and of the last; 0: none
  };

  struct Amount {
    std::uint64_t records = 0;
    std::uint64_t bytes = 0;  // of payload
  };

  // A point in the order of log calls.
  struct Mark {
    std::uint64_t through = 0;  // the last sequence number given before it
    bool lost = false;          // whether a record logged before it was lost already
  };

  explicit Journal(const Limits& limits);
  ~Journal();

  // ---- any thread

  // Copies the record in. Waits only where the policy is to block and the journal is full.
  Appended append(int severity, std::string_view payload) EXCLUDES(mutex_);
  // Counts a record that never came this far.
  void count_drop(DropCause cause) EXCLUDES(mutex_);
  // From now on every append is dropped as closed; those that wait for room give up.
  void close() EXCLUDES(mutex_);

  Mark mark() const EXCLUDES(mutex_);
  // All records with a sequence number up to this one have met their fate.
  std::uint64_t settled_through() const EXCLUDES(mutex_);
  // Whether any record logged before `mark` was lost, once all of them are settled.
  bool lost_before(const Mark& mark) const EXCLUDES(mutex_);
  // Whether the record with this sequence number, or one behind it, was lost.
  bool lost_from(std::uint64_t sequence) const EXCLUDES(mutex_);
  // Fills in what the journal knows: accepted, delivered, dropped, pending.
  void fill(Stats& stats) const EXCLUDES(mutex_);

  // ---- the worker

  // The oldest record that was not read yet. Its bytes stay valid until it is settled.
  std::optional<RecordView> peek() EXCLUDES(mutex_);
  // Steps over the record that peek returned.
  void advance();
  // Tells the journal what advance() stepped over since the last call. From then on its records
  // are under way and safe from eviction.
  Amount unread() EXCLUDES(mutex_);

  // Appended::wake will be true once, for the append that makes this many unread. Returns true,
  // and sets nothing, where that many are there already.
  bool wake_at(std::uint64_t records, std::uint64_t bytes) EXCLUDES(mutex_);

  void settle(const Settlement& settlement) EXCLUDES(mutex_);
  // Gives up everything unsettled, as closed. Nothing may be read afterwards.
  std::uint64_t abandon() EXCLUDES(mutex_);

 private:
  bool has_room(int severity, std::size_t payload_bytes) const REQUIRES(mutex_);
  bool make_room(int severity, std::size_t payload_bytes) REQUIRES(mutex_);
  bool wait_for_room(int severity, std::size_t payload_bytes) REQUIRES(mutex_);
  bool evict_oldest_segment() REQUIRES(mutex_);
  Segment* segment_for(std::size_t payload_bytes) REQUIRES(mutex_);
  Appended drop(DropCause cause) REQUIRES(mutex_);
  bool due_to_wake() REQUIRES(mutex_);
  std::size_t place_of_reader() const REQUIRES(mutex_);
  void recycle_settled() REQUIRES(mutex_);

  const Limits limits_;

  mutable Mutex mutex_;
  CondVar room_;  // signalled when records are settled and when the journal closes
  bool closed_ GUARDED_BY(mutex_) = false;
  std::deque<std::unique_ptr<Segment>> segments_ GUARDED_BY(mutex_);
  std::unique_ptr<Segment> spare_ GUARDED_BY(mutex_);  // a recycled one, for the next need
  std::uint64_t last_sequence_ GUARDED_BY(mutex_) = 0;
  std::uint64_t settled_through_ GUARDED_BY(mutex_) = 0;
  std::uint64_t first_lost_ GUARDED_BY(mutex_) = kNoLoss;
  std::uint64_t last_lost_ GUARDED_BY(mutex_) = 0;
  Amount unread_ GUARDED_BY(mutex_);
  Amount wake_at_ GUARDED_BY(mutex_){UINT64_MAX, UINT64_MAX};
  std::uint64_t accepted_ GUARDED_BY(mutex_) = 0;
  std::uint64_t delivered_ GUARDED_BY(mutex_) = 0;
  Amount pending_ GUARDED_BY(mutex_);
  DropCounts dropped_ GUARDED_BY(mutex_){};

  // The worker's place. Its segment, and any before it, is never evicted. The worker writes
  // reading_ under the mutex, so that others may read it there.
  Segment* reading_ = nullptr;
  std::size_t offset_ = 0;
  std::size_t next_offset_ = 0;
  Amount stepped_over_;  // by advance(), not told to unread() yet
};

}  // namespace log_aggregator
