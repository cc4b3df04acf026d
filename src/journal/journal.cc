#include "src/journal/journal.h"

#include <algorithm>
#include <utility>

namespace log_aggregator {
namespace {

constexpr int kWarning = 30;

// What a record costs beside its payload, at most: the frame's header and its padding.
constexpr std::uint64_t kFrameOverheadBytes = 24;

}  // namespace

Journal::Journal(const Limits& limits) : limits_(limits) {}
Journal::~Journal() = default;

Journal::Appended Journal::append(int severity, std::string_view payload) {
  const MutexLock lock(mutex_);
  if (closed_) return drop(DropCause::closed);
  if (payload.size() > limits_.capacity_bytes / 2) return drop(DropCause::too_large);
  if (!has_room(severity, payload.size()) && !make_room(severity, payload.size())) {
    if (closed_) return drop(DropCause::closed);
    return drop(limits_.overflow == Overflow::block ? DropCause::block_timeout
                                                    : DropCause::queue_full);
  }
  Segment* segment = segment_for(payload.size());
  if (segment == nullptr) return drop(DropCause::out_of_memory);
  segment->append({++last_sequence_, severity, payload});
  ++accepted_;
  ++pending_.records;
  pending_.bytes += payload.size();
  ++unread_.records;
  unread_.bytes += payload.size();
  return {.taken = true, .sequence = last_sequence_, .wake = due_to_wake()};
}

void Journal::count_drop(DropCause cause) {
  const MutexLock lock(mutex_);
  drop(cause);
}

void Journal::close() {
  const MutexLock lock(mutex_);
  closed_ = true;
  room_.notify_all();
}

Journal::Mark Journal::mark() const {
  const MutexLock lock(mutex_);
  const bool lost = std::any_of(dropped_.begin(), dropped_.end(), [](auto n) { return n != 0; });
  return {last_sequence_, lost};
}

std::uint64_t Journal::settled_through() const {
  const MutexLock lock(mutex_);
  return settled_through_;
}

bool Journal::lost_before(const Mark& mark) const {
  const MutexLock lock(mutex_);
  return mark.lost || first_lost_ <= mark.through;
}

bool Journal::lost_from(std::uint64_t sequence) const {
  const MutexLock lock(mutex_);
  return last_lost_ >= sequence;
}

void Journal::fill(Stats& stats) const {
  const MutexLock lock(mutex_);
  stats.accepted = accepted_;
  stats.delivered = delivered_;
  stats.dropped = dropped_;
  stats.pending = pending_.records;
  stats.pending_bytes = pending_.bytes;
}

// The last tenth is for those who have something to warn of.
bool Journal::has_room(int severity, std::size_t payload_bytes) const {
  const std::uint64_t used = pending_.bytes + pending_.records * kFrameOverheadBytes;
  const std::uint64_t reserved = severity >= kWarning ? 0 : limits_.capacity_bytes / 10;
  return used + payload_bytes + kFrameOverheadBytes + reserved <= limits_.capacity_bytes;
}

bool Journal::make_room(int severity, std::size_t payload_bytes) {
  switch (limits_.overflow) {
    case Overflow::drop_newest:
      return false;
    case Overflow::drop_oldest:
      while (!has_room(severity, payload_bytes)) {
        if (!evict_oldest_segment()) return false;
      }
      return true;
    case Overflow::block:
      return wait_for_room(severity, payload_bytes);
  }
  return false;
}

bool Journal::wait_for_room(int severity, std::size_t payload_bytes) {
  const auto deadline = std::chrono::steady_clock::now() + limits_.block_timeout;
  while (!closed_ && !has_room(severity, payload_bytes)) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    room_.wait_until(mutex_, deadline);
  }
  return !closed_;
}

// Never one that the worker reads or has read from, nor the one that is appended to.
bool Journal::evict_oldest_segment() {
  const std::size_t oldest = reading_ == nullptr ? 0 : place_of_reader() + 1;
  if (oldest + 1 >= segments_.size()) return false;
  const Segment& segment = *segments_[oldest];
  first_lost_ = std::min(first_lost_, segment.last_sequence() - segment.records() + 1);
  last_lost_ = std::max(last_lost_, segment.last_sequence());
  dropped_[static_cast<std::size_t>(DropCause::evicted)] += segment.records();
  pending_.records -= segment.records();
  pending_.bytes -= segment.payload_bytes();
  unread_.records -= segment.records();
  unread_.bytes -= segment.payload_bytes();
  segments_.erase(segments_.begin() + static_cast<std::ptrdiff_t>(oldest));
  return true;
}

Segment* Journal::segment_for(std::size_t payload_bytes) {
  if (!segments_.empty() && segments_.back()->fits(payload_bytes)) return segments_.back().get();
  const std::size_t needed = Segment::frame_bytes(payload_bytes);
  std::unique_ptr<Segment> segment =
      spare_ && spare_->fits(payload_bytes)
          ? std::move(spare_)
          : Segment::create_anonymous(std::max(limits_.segment_bytes, needed));
  if (!segment) return nullptr;
  segments_.push_back(std::move(segment));
  return segments_.back().get();
}

Journal::Appended Journal::drop(DropCause cause) {
  ++accepted_;
  ++dropped_[static_cast<std::size_t>(cause)];
  return {.taken = false, .cause = cause};
}

bool Journal::due_to_wake() {
  if (unread_.records < wake_at_.records && unread_.bytes < wake_at_.bytes) return false;
  wake_at_ = {UINT64_MAX, UINT64_MAX};
  return true;
}

bool Journal::wake_at(std::uint64_t records, std::uint64_t bytes) {
  const MutexLock lock(mutex_);
  if (unread_.records >= records || unread_.bytes >= bytes) return true;
  wake_at_ = {records, bytes};
  return false;
}

std::size_t Journal::place_of_reader() const {
  for (std::size_t i = 0; i < segments_.size(); ++i) {
    if (segments_[i].get() == reading_) return i;
  }
  return segments_.size();
}

std::optional<RecordView> Journal::peek() {
  RecordView record;
  if (reading_ != nullptr && reading_->read(offset_, record, next_offset_)) return record;

  const MutexLock lock(mutex_);
  // Under the mutex nobody appends: if there is nothing here now, this segment has ended.
  if (reading_ != nullptr && reading_->read(offset_, record, next_offset_)) return record;
  const std::size_t next = reading_ == nullptr ? 0 : place_of_reader() + 1;
  if (next >= segments_.size()) return std::nullopt;
  reading_ = segments_[next].get();
  offset_ = 0;
  if (!reading_->read(offset_, record, next_offset_)) return std::nullopt;
  return record;
}

void Journal::advance() {
  RecordView record;
  reading_->read(offset_, record, next_offset_);
  ++stepped_over_.records;
  stepped_over_.bytes += record.payload.size();
  offset_ = next_offset_;
}

Journal::Amount Journal::unread() {
  const MutexLock lock(mutex_);
  unread_.records -= stepped_over_.records;
  unread_.bytes -= stepped_over_.bytes;
  stepped_over_ = {};
  return unread_;
}

void Journal::settle(const Settlement& settlement) {
  std::uint64_t dropped = 0;
  for (const std::uint64_t count : settlement.dropped) dropped += count;

  const MutexLock lock(mutex_);
  settled_through_ = settlement.through;
  first_lost_ = std::min(first_lost_, settlement.first_lost);
  last_lost_ = std::max(last_lost_, settlement.last_lost);
  delivered_ += settlement.records - dropped;
  for (std::size_t i = 0; i < kDropCauses; ++i) dropped_[i] += settlement.dropped[i];
  pending_.records -= settlement.records;
  pending_.bytes -= settlement.bytes;
  recycle_settled();
  if (limits_.overflow == Overflow::block) room_.notify_all();
}

// An empty segment counts as settled: it is in the way where a record that it could not hold has
// got a segment of its own behind it. The last one is appended to again from its beginning, but a
// large one's memory is given back.
void Journal::recycle_settled() {
  while (!segments_.empty() && segments_.front()->last_sequence() <= settled_through_) {
    Segment& front = *segments_.front();
    const bool large = front.capacity() >= 2 * limits_.segment_bytes;
    const bool stays = segments_.size() == 1 && !large;
    front.recycle();
    if (&front == reading_) {
      offset_ = next_offset_ = 0;
      if (!stays) reading_ = nullptr;
    }
    if (stays) return;
    if (!large) spare_ = std::move(segments_.front());
    segments_.pop_front();
  }
}

std::uint64_t Journal::abandon() {
  const MutexLock lock(mutex_);
  const std::uint64_t records = pending_.records;
  if (records > 0) {
    first_lost_ = std::min(first_lost_, settled_through_ + 1);
    last_lost_ = last_sequence_;
  }
  dropped_[static_cast<std::size_t>(DropCause::closed)] += records;
  pending_ = unread_ = stepped_over_ = {};
  settled_through_ = last_sequence_;
  segments_.clear();
  reading_ = nullptr;
  offset_ = next_offset_ = 0;
  return records;
}

}  // namespace log_aggregator
