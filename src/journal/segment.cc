#include "src/journal/segment.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstring>
#include <new>
#include <string>
#include <utility>

#include "src/base/crc32c.h"
#include "src/base/not_cancelled.h"

namespace log_aggregator {
namespace {

static_assert(std::endian::native == std::endian::little, "the format is little-endian");

// Stable: do not change.
constexpr std::array<char, 8> kMagic = {'L', 'o', 'g', 'A', 'S', 'e', 'g', '1'};
constexpr std::uint32_t kVersion = 1;

// How much is written at once to fill a file. Linux makes one large folio for each of these pieces,
// where a page fault makes 4 KiB: pages come at a third of the cost, on ext4 of Linux 6.18.
constexpr std::size_t kFillBytes = 64 << 10;

// How long pages count as present and writable: what the system has written to the disk, it
// protects from writes. By default Linux looks every 5 s for what to write.
constexpr std::chrono::seconds kPopulatedFor{1};

#if !defined(MADV_POPULATE_WRITE)
constexpr int MADV_POPULATE_WRITE = 23;  // since Linux 5.14; older kernels refuse it
#endif

constexpr std::size_t round_up(std::size_t bytes, std::size_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

std::size_t page_bytes() { return static_cast<std::size_t>(::getpagesize()); }

// The first `bytes` of a structure, as they lie in memory.
template <typename T>
std::string_view bytes_of(const T& value, std::size_t bytes) {
  return {reinterpret_cast<const char*>(&value), bytes};
}

// Two fields as they lie in memory. The checksum reads eight bytes at a time; of fields that were
// written by themselves just before, the processor lets it wait until all that was written earlier
// has left its store buffer, the payload's copy included: 30 ns a record.
constexpr std::uint64_t word_of(std::uint32_t first, std::uint32_t second) {
  return first | std::uint64_t{second} << 32;
}

template <typename T>
std::uint32_t checksum_of(const T& value, std::uint32_t seed) {
  return crc32c(bytes_of(value, offsetof(T, checksum)), seed);
}

}  // namespace

// ---- the format

std::uint32_t SegmentId::seed() const {
  return crc32c(bytes_of(number, sizeof number), crc32c({journal.data(), journal.size()}));
}

bool SegmentHeader::valid() const { return magic == kMagic && checksum == checksum_of(*this, 0); }

bool CommitHint::valid(std::uint32_t seed) const { return checksum == checksum_of(*this, seed); }

bool FrameHeader::valid(std::uint32_t seed) const { return checksum == checksum_of(*this, seed); }

// ---- memory

SegmentMemory::SegmentMemory(SegmentMemory&& other) noexcept { swap(other); }

SegmentMemory& SegmentMemory::operator=(SegmentMemory&& other) noexcept {
  SegmentMemory(std::move(other)).swap(*this);
  return *this;
}

SegmentMemory::~SegmentMemory() {
  if (data_ == nullptr) return;
  if (file_) {
    file_->unmap(data_, size_);
  } else {
    ::munmap(data_, size_);
  }
}

void SegmentMemory::swap(SegmentMemory& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(file_, other.file_);
}

SegmentMemory SegmentMemory::anonymous(std::size_t bytes) {
  SegmentMemory memory;
  void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) return memory;
  ::madvise(data, bytes, MADV_DONTFORK);
  memory.data_ = static_cast<char*>(data);
  memory.size_ = bytes;
  return memory;
}

SegmentMemory SegmentMemory::mapped(std::unique_ptr<File> file, std::size_t bytes) {
  SegmentMemory memory;
  memory.data_ = file->map(bytes);
  memory.size_ = bytes;
  memory.file_ = std::move(file);
  return memory;
}

// ---- creation

Segment::Segment(SegmentMemory memory, std::unique_ptr<File> written, bool in_file)
    : capacity_(memory.size()),
      in_file_(in_file),
      memory_(std::move(memory)),
      written_(std::move(written)) {}

std::unique_ptr<Segment> Segment::create_anonymous(std::size_t bytes) {
  SegmentMemory memory = SegmentMemory::anonymous(round_up(bytes, page_bytes()));
  if (memory.data() == nullptr) return nullptr;
  return std::unique_ptr<Segment>(new (std::nothrow) Segment(std::move(memory), nullptr, false));
}

std::unique_ptr<Segment> Segment::create_mapped(std::unique_ptr<File> file, std::size_t bytes) {
  SegmentMemory memory = SegmentMemory::mapped(std::move(file), bytes);
  if (memory.data() == nullptr) return nullptr;
  return std::unique_ptr<Segment>(new (std::nothrow) Segment(std::move(memory), nullptr, true));
}

std::unique_ptr<Segment> Segment::create_written(std::unique_ptr<File> file, std::size_t bytes) {
  SegmentMemory memory = SegmentMemory::anonymous(bytes);
  if (memory.data() == nullptr) return nullptr;
  return std::unique_ptr<Segment>(new (std::nothrow)
                                      Segment(std::move(memory), std::move(file), true));
}

// ---- appending

// Asks for the cache lines that the next record will be written to: they come while the application
// does other work. What lies behind the segment's end is not touched by that.
inline void prefetch_to_write(const char* next) {
  constexpr std::size_t kBytes = 512;
  for (std::size_t at = 0; at < kBytes; at += kCacheLineBytes) __builtin_prefetch(next + at, 1);
}

void Segment::name(const SegmentId& id) {
  id_ = id;
  seed_ = id.seed();
}

Status Segment::begin(std::uint64_t first_sequence, std::int64_t now_ns) {
  first_sequence_ = first_sequence;
  rewind();
  if (!in_file_) return {};

  SegmentHeader header{.magic = kMagic,
                       .version = kVersion,
                       .first_frame = kFirstFrame,
                       .journal = id_.journal,
                       .number = id_.number,
                       .first_sequence = first_sequence,
                       .begun_ns = now_ns,
                       .zero = 0,
                       .checksum = 0};
  header.checksum = checksum_of(header, 0);
  std::memset(memory_.data(), 0, kFirstFrame);
  std::memcpy(memory_.data(), &header, sizeof header);
  set_hint(kFirstFrame);
  return written_ ? written_->write(0, {memory_.data(), kFirstFrame}) : Status();
}

void Segment::rewind() {
  last_sequence_ = first_sequence_ - 1;
  levels_ = {};
  payload_bytes_ = 0;
  committed_.store(kFirstFrame, std::memory_order_relaxed);
}

bool Segment::fits(std::size_t payload_bytes) const {
  return frame_bytes(payload_bytes) <= capacity_ - end_offset();
}

bool Segment::append(const RecordView& record) {
  const std::size_t offset = end_offset();
  const std::size_t end = offset + frame_bytes(record.payload.size());
  char* const frame = memory_.data() + offset;
  // A FrameHeader.
  std::array<std::uint64_t, sizeof(FrameHeader) / sizeof(std::uint64_t)> header = {
      word_of(static_cast<std::uint32_t>(record.payload.size()),
              static_cast<std::uint32_t>(record.severity)),
      record.sequence, static_cast<std::uint64_t>(record.time_ns), 0};
  if (in_file_) {
    const std::uint32_t payload_checksum = crc32c(record.payload, seed_);
    header.back() = payload_checksum;
    const std::uint32_t checksum = crc32c(bytes_of(header, offsetof(FrameHeader, checksum)), seed_);
    header.back() = word_of(payload_checksum, checksum);
    std::memset(memory_.data() + end - kFrameAlignment, 0, kFrameAlignment);
  }
  std::memcpy(frame + sizeof header, record.payload.data(), record.payload.size());
  std::memcpy(frame, header.data(), sizeof header);
  if (written_ && !write_through(offset, end - offset)) return false;
  last_sequence_ = record.sequence;
  ++levels_[drop_level(record.severity)];
  payload_bytes_ += record.payload.size();
  if (in_file_) {
    // A process that is killed here has a frame without a hint, never a hint without its frame.
    std::atomic_signal_fence(std::memory_order_release);
    set_hint(end);
    // Where that fails, the record is there all the same: the hint is only older.
    if (written_) write_through(kCommitHintOffset, sizeof(CommitHint));
  }
  committed_.store(end, std::memory_order_release);
  return true;
}

bool Segment::write_through(std::size_t offset, std::size_t bytes) {
  const NotCancelled guard;
  return written_->try_write(offset, {memory_.data() + offset, bytes});
}

void Segment::set_hint(std::size_t end) {
  const auto records = static_cast<std::uint32_t>(last_sequence_ + 1 - first_sequence_);
  const std::uint64_t both = word_of(static_cast<std::uint32_t>(end), records);
  const std::uint32_t checksum = crc32c(bytes_of(both, sizeof both), seed_);
  char* const hint = memory_.data() + kCommitHintOffset;
  std::memcpy(hint, &both, sizeof both);
  std::memcpy(hint + offsetof(CommitHint, checksum), &checksum, sizeof checksum);
}

bool Segment::read(std::size_t offset, RecordView& record, std::size_t& end_offset) const {
  if (offset >= committed() || !in_memory()) return false;
  record = frame_at(offset, end_offset);
  return true;
}

// ---- a segment in a file

Status Segment::fill() {
  static constexpr std::array<char, kFillBytes> kZeros{};
  if (file() == nullptr) return {};
  for (std::size_t at = 0; at < capacity_; at += kFillBytes) {
    const std::string_view zeros(kZeros.data(), std::min(kFillBytes, capacity_ - at));
    if (Status written = file()->write(at, zeros); !written.ok()) return written;
  }
  return {};
}

std::size_t Segment::populate(std::size_t end, std::size_t ahead, Clock::TimePoint now) {
  if (now >= populated_until_) {
    populated_ = 0;
    populated_until_ = now + kPopulatedFor;
  }
  const std::size_t until = std::min(round_up(end + ahead, page_bytes()), capacity_);
  const std::size_t from = std::max(end / page_bytes() * page_bytes(), populated_);
  if (from >= until) return populated_;
  if (memory_.is_mapped()) {
    // The header's page is written to with each record.
    if (populated_ == 0) ::madvise(memory_.data(), page_bytes(), MADV_POPULATE_WRITE);
    ::madvise(memory_.data() + from, until - from, MADV_POPULATE_WRITE);
  }
  populated_ = until;
  return until;
}

Status Segment::sync() {
  if (sync_failed_) return Status::unavailable("a segment that could not be synced before");
  Status synced = file() != nullptr ? file()->sync() : Status();
  sync_failed_ = !synced.ok();
  return synced;
}

SegmentMemory Segment::park() {
  written_.reset();
  return std::move(memory_);
}

void Segment::load(SegmentMemory memory, std::size_t end) {
  memory_ = std::move(memory);
  committed_.store(end, std::memory_order_release);
}

void Segment::close_in_child() {
  if (written_) written_->close_in_child();
  if (memory_.is_mapped()) memory_.file()->close_in_child();
}

}  // namespace log_aggregator
