#include "src/journal/segment.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <new>

namespace log_aggregator {
namespace {

struct FrameHeader {
  std::uint32_t length;
  std::int32_t severity;
  std::uint64_t sequence;
};
static_assert(sizeof(FrameHeader) == 16);

constexpr std::size_t round_up(std::size_t bytes, std::size_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

}  // namespace

std::unique_ptr<Segment> Segment::create_anonymous(std::size_t bytes) {
  const std::size_t capacity = round_up(bytes, static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)));
  void* memory =
      ::mmap(nullptr, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  std::unique_ptr<Segment> segment(new (std::nothrow)
                                       Segment(static_cast<char*>(memory), capacity));
  if (!segment) ::munmap(memory, capacity);
  return segment;
}

Segment::~Segment() { ::munmap(memory_, capacity_); }

std::size_t Segment::frame_bytes(std::size_t payload_bytes) {
  return sizeof(FrameHeader) + round_up(payload_bytes, alignof(FrameHeader));
}

bool Segment::fits(std::size_t payload_bytes) const {
  return frame_bytes(payload_bytes) <= capacity_ - committed_.load(std::memory_order_relaxed);
}

void Segment::append(const RecordView& record) {
  const std::size_t offset = committed_.load(std::memory_order_relaxed);
  const FrameHeader header{static_cast<std::uint32_t>(record.payload.size()), record.severity,
                           record.sequence};
  std::memcpy(memory_ + offset, &header, sizeof header);
  std::memcpy(memory_ + offset + sizeof header, record.payload.data(), record.payload.size());
  last_sequence_ = record.sequence;
  ++records_;
  payload_bytes_ += record.payload.size();
  committed_.store(offset + frame_bytes(record.payload.size()), std::memory_order_release);
}

void Segment::recycle() {
  last_sequence_ = records_ = payload_bytes_ = 0;
  committed_.store(0, std::memory_order_relaxed);
}

bool Segment::read(std::size_t offset, RecordView& record, std::size_t& end_offset) const {
  // Acquire: the frame below this length is seen complete.
  if (offset >= committed_.load(std::memory_order_acquire)) return false;
  FrameHeader header;
  std::memcpy(&header, memory_ + offset, sizeof header);
  record = {header.sequence, header.severity, {memory_ + offset + sizeof header, header.length}};
  end_offset = offset + frame_bytes(header.length);
  return true;
}

}  // namespace log_aggregator
