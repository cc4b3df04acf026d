// Orphan: a journal that a dead process left in the spool, to be delivered by this one. Orphanage:
// finds them.
//
// Both are used by one thread, the worker. Nothing is read before it is needed, one segment at a
// time, so that taking an orphan up costs the same whatever it holds. What is damaged is skipped,
// and counted by the gap that it leaves in the sequence numbers.

#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "log_aggregator/options.h"
#include "src/base/files.h"
#include "src/journal/scan.h"
#include "src/journal/segment.h"
#include "src/journal/source.h"
#include "src/journal/spool.h"

namespace log_aggregator {

class Orphan final : public Source {
 public:
  // Takes the journal's lock, which no one else may have. With durability `power`, what is removed
  // stays settled through a power cut.
  static Result<std::unique_ptr<Orphan>> adopt(Files& files, const std::string& root,
                                               const std::string& id,
                                               Durability durability = Durability::process);

  const std::string& id() const override { return spool_->id(); }
  bool outlives_process() const override { return true; }
  std::optional<RecordView> peek() override;
  void advance() override;
  void settle(const Settlement& settlement) override;
  std::vector<SequenceRange> given_up(std::size_t most) const override;
  void given_up_acknowledged(const std::vector<SequenceRange>& ranges) override;

  // Records that are missing and that nobody has given up, as far as has been read.
  const SequenceRanges& missing() const { return missing_; }
  // How many of them are at or below `through`, without those that it has told of already.
  std::uint64_t count_missing(std::uint64_t through);
  // A segment that could not be read just now; peek() tries again.
  bool stuck() const { return stuck_; }
  // Removes the journal. Everything must be settled.
  void discard() { spool_->discard(); }

 private:
  // One that is read or under way.
  struct Loaded {
    std::uint64_t number = 0;
    SegmentMemory memory;
    std::size_t end = 0;
    std::uint64_t last_sequence = 0;
  };

  Orphan(std::unique_ptr<Spool> spool, std::vector<std::uint64_t> numbers, Durability durability);
  bool load_next();
  void note_gaps(const Compacted& segment);
  void note_missing(SequenceRange range);
  bool first_is_settled() const;
  bool save_cursor();
  bool save_cursor_for_removal();

  const std::unique_ptr<Spool> spool_;
  const Durability durability_;
  std::deque<std::uint64_t> numbers_;  // of segments that are not loaded yet
  std::deque<Loaded> loaded_;
  std::size_t offset_ = 0;  // in the last that is loaded
  std::size_t next_offset_ = 0;
  std::uint64_t settled_through_ = 0;
  std::uint64_t expected_ = 0;  // the next sequence number; 0: any
  SequenceRanges given_up_;
  SequenceRanges missing_;
  std::uint64_t told_missing_ = 0;
  bool stuck_ = false;
};

class Orphanage {
 public:
  Orphanage(Files& files, std::string root, Durability durability = Durability::process);

  // The next orphan that is there. Null after the last one; the call after that looks again from
  // the beginning.
  std::unique_ptr<Orphan> next();

 private:
  Files& files_;
  const std::string root_;
  const Durability durability_;
  bool listed_ = false;
  std::vector<std::string> names_;  // not looked at yet
};

}  // namespace log_aggregator
