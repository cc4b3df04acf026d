// Journal: the bounded queue between log calls and delivery, a sequence of segments, in memory or
// in a spool on disk.
//
//   append ->  [ segment ][ segment ][ segment ]  -> peek/advance -> settle
//              oldest                 appended to
//
// Any thread appends; one thread, the worker, reads and settles. Appending takes a mutex and copies
// the record. A record gets the next sequence number when it is appended and stays at its place
// until it is settled: delivered, or given up for a cause. Settling goes in the order of sequence
// numbers; segments without unsettled records are used again.
//
// With a spool, segments lie in files, and a record is in its file when append() returns. The
// worker makes the next file ready and keeps the pages ahead of the appender present
// (maintain()), parks what is far from both ends, and syncs where that is asked for. While the
// disk takes nothing, records stay in memory, up to a limit of their own.
//
// The journal keeps the books, too: at any moment
//   accepted = delivered + pending + the sum of dropped.

#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "log_aggregator/options.h"
#include "log_aggregator/stats.h"
#include "src/base/clock.h"
#include "src/base/mutex.h"
#include "src/journal/segment.h"
#include "src/journal/source.h"
#include "src/journal/spool.h"

namespace log_aggregator {

class Journal final : public Source {
 public:
  struct Limits {
    std::size_t capacity_bytes = 0;  // of unsettled records, frames included
    std::size_t segment_bytes = 0;   // a record that needs more gets a segment of its own
    Overflow overflow = Overflow::drop_newest;
    std::chrono::milliseconds block_timeout{0};
  };

  // Where and how records are kept in files.
  struct SpoolPlan {
    Files& files;
    std::string root;              // exists, and is ours alone
    bool mapped = true;            // see Files::keeps_reservations
    std::size_t memory_bytes = 0;  // of segments in memory while the disk takes nothing
    Durability durability = Durability::process;
    std::chrono::milliseconds sync_interval{0};
  };

  // Of a journal whose records somebody else keeps, and numbers one after the other: they outlive
  // the process, and the handler has no records of its own among them.
  struct KeptElsewhere {
    std::string id;                     // a uuid
    std::uint64_t settled_through = 0;  // the next record gets the number after it
  };

  struct Appended {
    bool taken = false;
    DropCause cause = DropCause::queue_full;  // why not, where it was not taken
    std::uint64_t sequence = 0;
    bool wake = false;        // the worker waits for just this: wake it
    bool would_wait = false;  // nothing has happened, nor is anything counted
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

  // What finish() left undelivered.
  struct Leftover {
    std::uint64_t dropped = 0;  // was in memory only
    std::uint64_t spooled = 0;  // lies in the spool
  };

  explicit Journal(const Limits& limits, std::optional<SpoolPlan> plan = std::nullopt);
  Journal(const Limits& limits, KeptElsewhere kept);
  ~Journal() override;

  // ---- any thread

  // Copies the record in. Where the policy is to block and the journal is full, it waits, or says
  // that it would.
  Appended append(int severity, std::string_view payload, bool may_wait = true) EXCLUDES(mutex_);
  // Counts a record that never came this far.
  void count_drop(DropCause cause, int severity) EXCLUDES(mutex_);
  // From now on every append is dropped as closed; those that wait for room give up.
  void close() EXCLUDES(mutex_);

  Mark mark() const EXCLUDES(mutex_);
  // All records with a sequence number up to this one have met their fate.
  std::uint64_t settled_through() const EXCLUDES(mutex_);
  // Whether any record logged before `mark` was lost, once all of them are settled.
  bool lost_before(const Mark& mark) const EXCLUDES(mutex_);
  // Whether the record with this sequence number, or one behind it, was lost.
  bool lost_from(std::uint64_t sequence) const EXCLUDES(mutex_);
  // Fills in what the journal knows: accepted, delivered, dropped, pending, durable.
  void fill(Stats& stats) const EXCLUDES(mutex_);
  // Another number whenever a drop was counted or there is trouble to take: who looks often asks
  // this first, which takes no lock.
  std::uint64_t news() const { return news_.load(std::memory_order_relaxed); }

  // ---- around a fork

  // Holds every other thread out of the journal, so that a fork finds it in one piece.
  void lock_for_fork() NO_THREAD_SAFETY_ANALYSIS { mutex_.lock(); }
  void unlock_after_fork() NO_THREAD_SAFETY_ANALYSIS { mutex_.unlock(); }
  // In a child that leaves this journal to its parent, under lock_for_fork: closes the descriptors
  // it inherited, and touches nothing else.
  void close_descriptors_in_child() NO_THREAD_SAFETY_ANALYSIS;

  // ---- the worker

  const std::string& id() const override { return id_; }
  bool outlives_process() const override { return plan_ || kept_elsewhere_; }
  std::optional<RecordView> peek() override EXCLUDES(mutex_);
  void advance() override;
  void settle(const Settlement& settlement) override EXCLUDES(mutex_);
  std::vector<SequenceRange> given_up(std::size_t most) const override EXCLUDES(mutex_);
  void given_up_acknowledged(const std::vector<SequenceRange>& ranges) override EXCLUDES(mutex_);

  // Tells the journal what advance() stepped over since the last call. From then on its records
  // are under way and safe from eviction.
  Amount unread() EXCLUDES(mutex_);

  // Appended::wake will be true once, for the append that makes this many unread. Returns true,
  // and sets nothing, where that many are there already.
  bool wake_at(std::uint64_t records, std::uint64_t bytes) EXCLUDES(mutex_);

  // Appends a record of the handler's own, also to a closed journal, and returns its number. 0, and
  // nothing is counted, where there is no room, or no place for such records.
  std::uint64_t offer(int severity, std::string_view payload) EXCLUDES(mutex_);

  // Does the work on files that is due, and says when it is next. Cheap where there is none.
  Clock::TimePoint maintain(Clock::TimePoint now) EXCLUDES(mutex_);
  // Why the disk took nothing, once for each time that this changes; empty: nothing new.
  std::string take_trouble() EXCLUDES(mutex_);

  // The end: what is in memory is dropped as closed, what is in the spool stays there for the next
  // process, and if nothing does, the journal's directory is removed. Nothing may be read or
  // appended afterwards.
  Leftover finish() EXCLUDES(mutex_);

 private:
  Appended append_locked(int severity, std::string_view payload) REQUIRES(mutex_);
  bool has_room(int severity, std::size_t payload_bytes) const REQUIRES(mutex_);
  bool make_room(int severity, std::size_t payload_bytes) REQUIRES(mutex_);
  bool wait_for_room(int severity, std::size_t payload_bytes) REQUIRES(mutex_);
  bool evict_oldest_segment() REQUIRES(mutex_);
  Segment* segment_for(std::size_t payload_bytes) REQUIRES(mutex_);
  Segment* begin_segment(std::size_t payload_bytes) REQUIRES(mutex_);
  std::unique_ptr<Segment> new_file_segment(std::size_t needed) REQUIRES(mutex_);
  std::unique_ptr<Segment> new_memory_segment(std::size_t needed) REQUIRES(mutex_);
  Appended drop(DropCause cause, int severity) REQUIRES(mutex_);
  void lose(SequenceRange range) REQUIRES(mutex_);
  bool due_to_wake(const Segment& segment, bool new_segment) REQUIRES(mutex_);
  void tell_news() REQUIRES(mutex_) {
    news_.store(news_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
  std::size_t place_of_reader() const REQUIRES(mutex_);
  std::vector<std::unique_ptr<Segment>> retire_settled() REQUIRES(mutex_);
  std::unique_ptr<Segment> retire(std::unique_ptr<Segment> segment) REQUIRES(mutex_);
  std::unique_ptr<Segment> take_spare(std::size_t needed) REQUIRES(mutex_);
  std::size_t most_spares() const;
  bool find_more() EXCLUDES(mutex_);
  bool load(Segment& segment) EXCLUDES(mutex_);
  std::uint64_t drop_memory_segments() REQUIRES(mutex_);

  // maintain() in parts
  void note_trouble(const Status& status) REQUIRES(mutex_);
  void save_cursor() EXCLUDES(mutex_);
  void park_distant() EXCLUDES(mutex_);
  void reuse_or_remove_retired(Clock::TimePoint now) EXCLUDES(mutex_);
  std::unique_ptr<Segment> reuse(std::unique_ptr<Segment> segment, std::uint64_t number,
                                 Clock::TimePoint now);
  void keep_memory(Segment& segment);
  Result<std::unique_ptr<Segment>> make_ready(Result<std::unique_ptr<Segment>> made,
                                              Clock::TimePoint now);
  void prepare_spare(Clock::TimePoint now) EXCLUDES(mutex_);
  bool needs_spare(Clock::TimePoint now) const REQUIRES(mutex_);
  void populate_ahead(Clock::TimePoint now) EXCLUDES(mutex_);
  void sync_due(Clock::TimePoint now) EXCLUDES(mutex_);
  void sync() EXCLUDES(mutex_);
  bool make_durable(Segment& segment) EXCLUDES(mutex_);

  const Limits limits_;
  const std::optional<SpoolPlan> plan_;
  const std::string id_;
  const bool kept_elsewhere_ = false;

  mutable Mutex mutex_;
  CondVar room_;  // signalled when records are settled and when the journal closes
  bool closed_ GUARDED_BY(mutex_) = false;
  bool finished_ GUARDED_BY(mutex_) = false;
  std::deque<std::unique_ptr<Segment>> segments_ GUARDED_BY(mutex_);
  std::uint64_t last_sequence_ GUARDED_BY(mutex_) = 0;
  std::uint64_t settled_through_ GUARDED_BY(mutex_) = 0;
  std::uint64_t first_lost_ GUARDED_BY(mutex_) = UINT64_MAX;
  std::uint64_t last_lost_ GUARDED_BY(mutex_) = 0;
  SequenceRanges given_up_ GUARDED_BY(mutex_);
  Amount unread_ GUARDED_BY(mutex_);
  Amount wake_at_ GUARDED_BY(mutex_){UINT64_MAX, UINT64_MAX};
  std::uint64_t accepted_ GUARDED_BY(mutex_) = 0;
  std::uint64_t delivered_ GUARDED_BY(mutex_) = 0;
  Amount pending_ GUARDED_BY(mutex_);
  // For the next needs, whose pages are there already; files in the order of their numbers.
  std::deque<std::unique_ptr<Segment>> spares_ GUARDED_BY(mutex_);
  DropCounts dropped_ GUARDED_BY(mutex_){};
  std::atomic<std::uint64_t> news_{0};  // written under the mutex

  // With a spool.
  std::uint64_t last_number_ GUARDED_BY(mutex_) = 0;  // of segments
  std::size_t memory_bytes_ GUARDED_BY(mutex_) = 0;   // of segments that are in no file
  std::vector<std::unique_ptr<Segment>> retired_
      GUARDED_BY(mutex_);                         // settled or evicted, in files
  bool disk_refuses_ GUARDED_BY(mutex_) = false;  // the last try to begin a file failed
  std::string trouble_ GUARDED_BY(mutex_);
  bool trouble_taken_ GUARDED_BY(mutex_) = true;
  std::size_t wake_at_offset_ GUARDED_BY(mutex_) = SIZE_MAX;  // of the segment appended to
  std::uint64_t durable_through_ GUARDED_BY(mutex_) = 0;

  // Used by the appender under the mutex until the directory is open, then by the worker too, whose
  // calls do not touch what the appender's do.
  std::unique_ptr<Spool> spool_;

  // The worker's place. Its segment, and any before it, is never evicted. The worker writes
  // reading_ under the mutex, so that others may read it there. On cache lines of their own: an
  // appender's and the worker's would go back and forth between the cores with each record.
  alignas(kCacheLineBytes) Segment* reading_ = nullptr;
  std::size_t readable_ = 0;  // how far its segment was committed when that was last looked at
  std::size_t offset_ = 0;
  std::size_t next_offset_ = 0;
  std::size_t peeked_bytes_ = 0;
  Amount stepped_over_;          // by advance(), not told to unread() yet
  Clock::TimePoint next_try_{};  // to begin a file after the disk has refused one
  Clock::TimePoint next_sync_{};
  std::vector<SegmentMemory> memory_to_load_;  // of loaded segments that are settled
};

}  // namespace log_aggregator
