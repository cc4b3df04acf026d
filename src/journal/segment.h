// Segment: a fixed stretch of memory that records are appended to, one behind the other, in the
// form that docs/journal-format.md describes.
//
// The memory is anonymous, or a mapping of a file, or anonymous with each record written to a file
// as well; appending and reading are the same. Only what is kept in a file carries checksums.
// One thread at a time appends (the journal's lock sees to that) while one other reads what is
// committed, without a lock. Nothing ever moves: a record's bytes stay where they are until the
// segment begins another life. A segment in a file may be parked: it gives its memory back and is
// loaded again to be read.

#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>

#include "log_aggregator/stats.h"
#include "src/base/clock.h"
#include "src/base/files.h"
#include "src/base/uuid.h"

namespace log_aggregator {

// A record where it lies in a segment.
struct RecordView {
  std::uint64_t sequence = 0;
  int severity = 0;
  std::int64_t time_ns = 0;  // when it was appended, since 1970; 0 where no file keeps it
  std::string_view payload;
};

// Which segment of which journal. No two lives of any segment have the same.
struct SegmentId {
  UuidBytes journal{};
  std::uint64_t number = 0;

  // What all checksums in the segment go on from.
  std::uint32_t seed() const;
};

// The beginning of a segment in a file. Byte order and layout are the format's: do not change.
struct SegmentHeader {
  std::array<char, 8> magic;
  std::uint32_t version;
  std::uint32_t first_frame;
  UuidBytes journal;
  std::uint64_t number;
  std::uint64_t first_sequence;
  std::int64_t begun_ns;
  std::uint32_t zero;
  std::uint32_t checksum;

  bool valid() const;
};
static_assert(sizeof(SegmentHeader) == 64);

// Behind it: how far the segment is committed.
struct CommitHint {
  std::uint32_t length;
  std::uint32_t records;
  std::uint32_t checksum;

  bool valid(std::uint32_t seed) const;
};
static_assert(sizeof(CommitHint) == 12);
inline constexpr std::size_t kCommitHintOffset = 64;

struct FrameHeader {
  std::uint32_t length;
  std::int32_t severity;
  std::uint64_t sequence;
  std::int64_t time_ns;
  std::uint32_t payload_checksum;
  std::uint32_t checksum;

  bool valid(std::uint32_t seed) const;
};
static_assert(sizeof(FrameHeader) == 32);
inline constexpr std::size_t kFrameAlignment = 8;

// What two cores cannot write to at once without waiting for each other; a constant of our own,
// since the compiler's may differ between the parts of one program.
inline constexpr std::size_t kCacheLineBytes = 64;

// A segment's memory, with the file behind it. Given back when destroyed.
class SegmentMemory {
 public:
  SegmentMemory() = default;
  SegmentMemory(SegmentMemory&& other) noexcept;
  SegmentMemory& operator=(SegmentMemory&& other) noexcept;
  ~SegmentMemory();

  // Both are empty where the system has no memory. Pages that are never touched are never
  // allocated. A forked child does not inherit them.
  static SegmentMemory anonymous(std::size_t bytes);
  // The file must be that long, and reserved.
  static SegmentMemory mapped(std::unique_ptr<File> file, std::size_t bytes);

  char* data() const { return data_; }
  std::size_t size() const { return size_; }
  bool is_mapped() const { return file_ != nullptr; }
  File* file() const { return file_.get(); }
  void swap(SegmentMemory& other) noexcept;

 private:
  char* data_ = nullptr;
  std::size_t size_ = 0;
  std::unique_ptr<File> file_;  // null: anonymous
};

class Segment {
 public:
  // Where the first frame begins.
  static constexpr std::size_t kFirstFrame = 128;

  // Null where the system has no memory for it.
  static std::unique_ptr<Segment> create_anonymous(std::size_t bytes);
  static std::unique_ptr<Segment> create_mapped(std::unique_ptr<File> file, std::size_t bytes);
  // Each record is written to the file, too.
  static std::unique_ptr<Segment> create_written(std::unique_ptr<File> file, std::size_t bytes);
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;

  // What a record of that many bytes takes up in a segment.
  static constexpr std::size_t frame_bytes(std::size_t payload_bytes) {
    return sizeof(FrameHeader) +
           (payload_bytes + kFrameAlignment - 1) / kFrameAlignment * kFrameAlignment;
  }

  // Which segment it is from its next life on.
  void name(const SegmentId& id);
  // Begins a new, empty life. Nobody may be reading. A segment in a file that cannot be written
  // says so; it must not be used then.
  Status begin(std::uint64_t first_sequence, std::int64_t now_ns);
  // Begins this life anew: what is appended next takes the place of what was. Likewise.
  // Async-signal-safe.
  void rewind();

  bool fits(std::size_t payload_bytes) const;
  // Only where it fits. False where the file cannot be written; the segment is as before then, but
  // nothing more may be appended. Async-signal-safe.
  bool append(const RecordView& record);

  // Reads the record at `offset`, which is kFirstFrame or what end_offset was after an earlier
  // read. False where nothing is committed there yet, or the segment is parked.
  bool read(std::size_t offset, RecordView& record, std::size_t& end_offset) const;
  // The same for an offset below what committed() was, so that whoever reads many records looks at
  // the appender's cache line once for all of them. Not where the segment is parked.
  RecordView frame_at(std::size_t offset, std::size_t& end_offset) const {
    FrameHeader header;
    std::memcpy(&header, memory_.data() + offset, sizeof header);
    end_offset = offset + frame_bytes(header.length);
    return {.sequence = header.sequence,
            .severity = header.severity,
            .time_ns = header.time_ns,
            .payload = {memory_.data() + offset + sizeof header, header.length}};
  }
  // Acquire: the frames below this length are seen complete.
  std::size_t committed() const { return committed_.load(std::memory_order_acquire); }

  // What has been appended. The sequence numbers in a segment have no gaps, unless it was loaded.
  const SegmentId& id() const { return id_; }
  std::uint64_t first_sequence() const { return first_sequence_; }
  std::uint64_t last_sequence() const { return last_sequence_; }
  std::uint64_t records() const { return total(levels_); }
  const LevelCounts& levels() const { return levels_; }
  std::uint64_t payload_bytes() const { return payload_bytes_; }
  std::size_t capacity() const { return capacity_; }
  std::size_t end_offset() const { return committed_.load(std::memory_order_relaxed); }

  bool in_file() const { return in_file_; }
  bool in_memory() const { return memory_.data() != nullptr; }
  // Whether what is appended reaches the file: not where it was parked, and loaded to be read.
  bool writes_to_file() const { return memory_.is_mapped() || written_ != nullptr; }

  // ---- a segment in a file

  // Fills the file with zeros: the pages of one that is mapped are there then and can be written,
  // and one that is written has its blocks. Before the next life.
  Status fill();
  // Makes the pages behind `end` present and writable up to `ahead` further, so that the next
  // appends meet no page fault; returns up to where they are.
  std::size_t populate(std::size_t end, std::size_t ahead, Clock::TimePoint now);
  // What is committed is on the disk when this is ok. Once that has failed, it fails for ever: the
  // system may call pages clean that it has not written, so that a second try proves nothing.
  Status sync();
  bool sync_failed() const { return sync_failed_; }
  // All that is committed, as the file has it.
  std::string_view image() const { return {memory_.data(), end_offset()}; }
  // Takes the memory out, for the caller to destroy. Nobody may be reading.
  SegmentMemory park();
  // Reads from `memory` from now on, which holds the frames that were found up to `end`.
  void load(SegmentMemory memory, std::size_t end);
  void close_in_child();

 private:
  Segment(SegmentMemory memory, std::unique_ptr<File> written, bool in_file);

  File* file() const { return written_ ? written_.get() : memory_.file(); }
  bool write_through(std::size_t offset, std::size_t bytes);
  void set_hint(std::size_t end);

  const std::size_t capacity_;
  const bool in_file_;
  SegmentMemory memory_;
  std::unique_ptr<File> written_;  // where each record is written to, if anywhere
  // Used by the thread that populates and syncs.
  std::size_t populated_ = 0;
  Clock::TimePoint populated_until_ = Clock::TimePoint::min();
  bool sync_failed_ = false;

  // Written and read under the journal's lock. The appender writes to these with each record, the
  // worker looks at what stands above: not on one cache line.
  alignas(kCacheLineBytes) SegmentId id_;
  std::uint32_t seed_ = 0;
  std::uint64_t first_sequence_ = 0;
  std::uint64_t last_sequence_ = 0;
  LevelCounts levels_{};
  std::uint64_t payload_bytes_ = 0;
  // Bytes that are complete. The release store publishes a frame: whoever reads this length with
  // acquire sees all bytes before it.
  std::atomic<std::size_t> committed_{kFirstFrame};
};

}  // namespace log_aggregator
