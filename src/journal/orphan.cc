#include "src/journal/orphan.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace log_aggregator {

Result<std::unique_ptr<Orphan>> Orphan::adopt(Files& files, const std::string& root,
                                              const std::string& id, Durability durability) {
  auto spool = Spool::adopt(files, root, id);
  if (!spool.ok()) return spool.status();
  auto numbers = (*spool)->segment_numbers();
  if (!numbers.ok()) return numbers.status();
  return std::unique_ptr<Orphan>(new Orphan(std::move(*spool), std::move(*numbers), durability));
}

Orphan::Orphan(std::unique_ptr<Spool> spool, std::vector<std::uint64_t> numbers,
               Durability durability)
    : spool_(std::move(spool)), durability_(durability), numbers_(numbers.begin(), numbers.end()) {
  const Cursor cursor = spool_->read_cursor();
  if (cursor.generation == 0) return;
  settled_through_ = cursor.settled_through;
  expected_ = settled_through_ + 1;
  for (const SequenceRange& range : cursor.given_up) given_up_.add(range);
}

// ---- reading

std::optional<RecordView> Orphan::peek() {
  while (true) {
    if (!loaded_.empty() && offset_ < loaded_.back().end) {
      FrameHeader header;
      const char* const frame = loaded_.back().memory.data() + offset_;
      std::memcpy(&header, frame, sizeof header);
      next_offset_ = offset_ + Segment::frame_bytes(header.length);
      return RecordView{.sequence = header.sequence,
                        .severity = header.severity,
                        .time_ns = header.time_ns,
                        .payload = {frame + sizeof header, header.length}};
    }
    if (!load_next()) return std::nullopt;
  }
}

void Orphan::advance() { offset_ = next_offset_; }

// False where there is none, or it cannot be read now.
bool Orphan::load_next() {
  stuck_ = false;
  if (numbers_.empty()) return false;
  const std::uint64_t number = numbers_.front();
  auto file = spool_->load_segment(number);
  stuck_ = !file.ok() && file.status().code() != StatusCode::not_found;
  if (stuck_) return false;
  numbers_.pop_front();
  if (!file.ok()) return true;  // unreadable for good: the gap tells of it
  Loaded loaded{.number = number, .memory = std::move(file->memory)};
  const Compacted left = compact_segment(loaded.memory.data(), file->bytes,
                                         spool_->segment_id(number), settled_through_);
  note_gaps(left);
  loaded.end = left.end;
  loaded.last_sequence = expected_ == 0 ? 0 : expected_ - 1;
  loaded_.push_back(std::move(loaded));
  offset_ = Segment::kFirstFrame;
  return true;
}

void Orphan::note_gaps(const Compacted& segment) {
  const auto& found = segment.found.ranges();
  const std::uint64_t first = segment.scan.first_sequence;
  if (expected_ == 0) expected_ = first != 0 || found.empty() ? first : found.front().first;
  if (expected_ == 0) return;
  if (first > expected_) {
    note_missing({expected_, first - 1});
    expected_ = first;
  }
  for (const SequenceRange& range : found) {
    if (range.first > expected_) note_missing({expected_, range.first - 1});
    expected_ = std::max(expected_, range.last + 1);
  }
  if (segment.scan.last_known >= expected_) {
    note_missing({expected_, segment.scan.last_known});
    expected_ = segment.scan.last_known + 1;
  }
}

// But those that were given up.
void Orphan::note_missing(SequenceRange range) {
  missing_.add(range);
  for (const SequenceRange& declared : given_up_.ranges()) missing_.remove(declared);
}

std::uint64_t Orphan::count_missing(std::uint64_t through) {
  const std::uint64_t missing = missing_.count_through(through);
  return missing - std::exchange(told_missing_, missing);
}

// ---- settling

void Orphan::settle(const Settlement& settlement) {
  settled_through_ = std::max(settled_through_, settlement.through);
  for (const SequenceRange& range : settlement.given_up) given_up_.add(range);
  if (!first_is_settled()) {
    static_cast<void>(save_cursor());
    return;
  }
  const bool saved = save_cursor_for_removal();
  while (first_is_settled()) {
    if (saved) static_cast<void>(spool_->remove_segment(loaded_.front().number));
    loaded_.pop_front();
  }
}

// But for the last one, which is where peek() goes on.
bool Orphan::first_is_settled() const {
  return loaded_.size() > 1 && loaded_.front().last_sequence <= settled_through_;
}

// Where that fails, a crash makes the last batch be sent again.
bool Orphan::save_cursor() {
  return spool_->write_cursor(settled_through_, given_up_.ranges()).ok();
}

// In both slots, so that the loss of one makes nothing seem lost that was settled.
bool Orphan::save_cursor_for_removal() {
  for (int slot = 0; slot < 2; ++slot) {
    if (!save_cursor()) return false;
    if (durability_ == Durability::power && !spool_->sync_cursor().ok()) return false;
  }
  return true;
}

std::vector<SequenceRange> Orphan::given_up(std::size_t most) const {
  return given_up_.first(most);
}

void Orphan::given_up_acknowledged(const std::vector<SequenceRange>& ranges) {
  given_up_.remove_through(ranges, settled_through_);
}

// ---- finding them

Orphanage::Orphanage(Files& files, std::string root, Durability durability)
    : files_(files), root_(std::move(root)), durability_(durability) {}

std::unique_ptr<Orphan> Orphanage::next() {
  if (!std::exchange(listed_, true)) {
    if (auto names = journals_in(files_, root_); names.ok()) names_ = std::move(*names);
  }
  while (!names_.empty()) {
    const std::string name = std::move(names_.back());
    names_.pop_back();
    auto orphan = Orphan::adopt(files_, root_, name, durability_);
    if (orphan.ok()) return std::move(orphan.value());
  }
  listed_ = false;
  return nullptr;
}

}  // namespace log_aggregator
