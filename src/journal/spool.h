// Spool: the directory of one journal: its lock, its cursor and the files of its segments, as
// docs/journal-format.md has them. Knows names and files, not the order in which they are used.
//
// Whoever has an open Spool has the journal's lock, unless it is only looked at. Nothing is made
// before the first segment is. Not thread-safe.

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "log_aggregator/status.h"
#include "src/base/files.h"
#include "src/base/sequence_ranges.h"
#include "src/base/uuid.h"
#include "src/journal/segment.h"

namespace log_aggregator {

// How far a journal is settled.
struct Cursor {
  std::uint64_t generation = 0;  // 0: no slot of the file could be relied on
  std::uint64_t settled_through = 0;
  std::vector<SequenceRange> given_up;
  std::vector<int> damaged_slots;  // neither whole nor never written
};

// Longer lists are cut.
inline constexpr std::size_t kMaxRangesInCursor = 250;

class Spool {
 public:
  // A journal of our own: a new directory <root>/<id>.
  Spool(Files& files, std::string root, std::string id);
  ~Spool();
  Spool(const Spool&) = delete;
  Spool& operator=(const Spool&) = delete;
  // One that is there: takes its lock. Not found where it is none, or gone; unavailable where its
  // owner lives.
  static Result<std::unique_ptr<Spool>> adopt(Files& files, const std::string& root,
                                              const std::string& id);
  // One that is there, without its lock: for reading only.
  static Result<std::unique_ptr<Spool>> look_at(Files& files, const std::string& root,
                                                const std::string& id);
  // Of one that is looked at: whether somebody has its lock, which is tried to find out. Not found
  // where it is none, or gone.
  Result<bool> in_use();
  // Likewise, but keeps the lock; unavailable where somebody else has it.
  Status lock() { return take_lock(directory_, Files::Open::to_write); }

  const std::string& id() const { return id_; }
  const std::string& directory() const { return directory_; }
  SegmentId segment_id(std::uint64_t number) const { return {uuid_, number}; }
  bool is_open() const { return lock_ != nullptr; }

  // A file for the segment with this number: of that size, every block reserved, mapped if `mapped`
  // says so. Opens the directory first where that was not done.
  Result<std::unique_ptr<Segment>> create_segment(std::uint64_t number, std::size_t bytes,
                                                  bool mapped);
  // Gives the file of an old segment to a new number.
  Status rename_segment(std::uint64_t from, std::uint64_t to);
  // Likewise, and opens it as create_segment does.
  Result<std::unique_ptr<Segment>> reopen_segment(std::uint64_t from, std::uint64_t to,
                                                  std::size_t bytes, bool mapped);
  // Puts a segment's file anew in place of the one that could not be synced, and syncs it.
  Status rewrite_segment(std::uint64_t number, std::string_view image, std::size_t bytes);
  Status remove_segment(std::uint64_t number);
  // The whole file, in `memory` if that is large enough, else in memory of its own; zeros where the
  // disk cannot read it.
  struct Loaded {
    SegmentMemory memory;
    std::size_t bytes = 0;
  };
  Result<Loaded> load_segment(std::uint64_t number, SegmentMemory memory = {});
  // In ascending order.
  Result<std::vector<std::uint64_t>> segment_numbers();

  Cursor read_cursor();
  // Overwrites the older of the two slots.
  Status write_cursor(std::uint64_t settled_through, const std::vector<SequenceRange>& given_up);
  Status sync_cursor();
  // Which files there are is on the disk when this is ok.
  Status sync_names();

  // Gives the lock back; the files stay.
  void release();
  // Removes what is left of the directory, and it. Where a segment cannot be removed, the rest
  // stays, too, and the cursor says that it is settled.
  void discard();
  // In a forked child that leaves it to its parent; its lock is close_spool_locks_in_child()'s.
  void close_in_child();

 private:
  Status open();
  Status make(const std::string& directory);
  Status take_lock(const std::string& directory, Files::Open how);
  Status open_cursor(const std::string& directory);
  Result<std::unique_ptr<Segment>> open_segment(std::uint64_t number, std::size_t bytes,
                                                bool mapped, Files::Open how);
  bool read_slot(int place, void* slot, std::size_t bytes);
  Status remove_segments();
  std::string path(std::string_view name) const { return directory_ + '/' + std::string(name); }
  std::string segment_path(std::uint64_t number) const;
  std::uint32_t cursor_seed() const;

  Files& files_;
  const std::string root_;
  const std::string id_;
  const UuidBytes uuid_;
  const std::string directory_;
  std::unique_ptr<File> lock_;
  std::unique_ptr<File> cursor_file_;
  std::uint64_t generation_ = 0;  // of the newest slot
};

// The directories of journals in a spool's root, in no order.
Result<std::vector<std::string>> journals_in(Files& files, const std::string& root);

// Around a fork: no lock is taken or given back meanwhile. The child closes the descriptors of all
// that it has inherited; kept open, they would hold the locks after the parent's death.
void hold_spool_locks_for_fork();
void resume_spool_locks_after_fork();
void close_spool_locks_in_child();

}  // namespace log_aggregator
