// Segment: a fixed stretch of mapped memory that records are appended to, one behind the other.
//
// One thread at a time appends (the journal's lock sees to that) while one other reads what is
// committed, without a lock. Nothing ever moves: a record's bytes stay where they are until the
// segment is recycled. A frame is
//
//   length    u32   bytes of payload
//   severity  i32   on Python's scale
//   sequence  u64   number of the record in its journal, from 1
//   payload   length bytes, then zeros up to a multiple of 8

#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

namespace log_aggregator {

// A record where it lies in a segment.
struct RecordView {
  std::uint64_t sequence = 0;
  int severity = 0;
  std::string_view payload;
};

class Segment {
 public:
  // Anonymous memory of at least `bytes`; null where the system has none. Pages that are never
  // touched are never allocated.
  static std::unique_ptr<Segment> create_anonymous(std::size_t bytes);
  ~Segment();
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;

  // What a record of that many bytes takes up in a segment.
  static std::size_t frame_bytes(std::size_t payload_bytes);

  bool fits(std::size_t payload_bytes) const;
  // Only where it fits.
  void append(const RecordView& record);
  // Empties the segment for its next life. Nobody may be reading it.
  void recycle();

  // Reads the record at `offset`, which is 0 or what end_offset was after an earlier read. False
  // where nothing is committed there yet.
  bool read(std::size_t offset, RecordView& record, std::size_t& end_offset) const;
  // What has been appended. The sequence numbers in a segment have no gaps.
  std::uint64_t last_sequence() const { return last_sequence_; }
  std::uint64_t records() const { return records_; }
  std::uint64_t payload_bytes() const { return payload_bytes_; }
  std::size_t capacity() const { return capacity_; }

 private:
  Segment(char* memory, std::size_t capacity) : memory_(memory), capacity_(capacity) {}

  char* const memory_;
  const std::size_t capacity_;
  // Written and read under the journal's lock.
  std::uint64_t last_sequence_ = 0;
  std::uint64_t records_ = 0;
  std::uint64_t payload_bytes_ = 0;
  // Bytes that are complete. The release store publishes a frame: whoever reads this length with
  // acquire sees all bytes before it.
  std::atomic<std::size_t> committed_{0};
};

}  // namespace log_aggregator
