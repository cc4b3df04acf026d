#include "src/journal/journal.h"

#include <algorithm>
#include <ctime>
#include <iterator>
#include <utility>

#include "src/base/not_cancelled.h"
#include "src/base/uuid.h"
#include "src/journal/scan.h"

namespace log_aggregator {
namespace {

constexpr int kWarning = 30;

// What a record costs beside its payload, at most: the frame's header and its padding.
constexpr std::uint64_t kFrameOverheadBytes = sizeof(FrameHeader) + kFrameAlignment;

// How many pages a file that is made ready has present, and how far ahead of the appender they are
// kept so; how little of that may be left when the worker is woken to go on.
constexpr std::size_t kPopulateAtFirstBytes = 1 << 20;
constexpr std::size_t kPopulateBytes = 256 << 10;
constexpr std::size_t kPopulateAgainBytes = 128 << 10;

// Memory of segments behind the reader that stays, so that a reader at full speed never loads.
constexpr std::size_t kResidentBytes = 4 << 20;

// Segments that stay when they are settled, but one file of any size. A queue whose length swings
// would otherwise give them back only to ask for them again, and the log calls pay for each of
// their pages anew.
constexpr std::size_t kSparesInMemory = 3;
constexpr std::size_t kSpareFileBytes = 3 << 20;

// Memory that stays to load segments into.
constexpr std::size_t kMemoryToLoadBytes = 2 << 20;

// Between two tries to begin a file that the disk refuses.
constexpr std::chrono::seconds kDiskPause{1};

constexpr auto kNever = Clock::TimePoint::max();

// The coarse clock costs a quarter of the exact one, and is off by 4 ms.
std::int64_t now_ns() {
  constexpr std::int64_t kNanosecondsPerSecond = 1'000'000'000;
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  return now.tv_sec * kNanosecondsPerSecond + now.tv_nsec;
}

}  // namespace

Journal::Journal(const Limits& limits, std::optional<SpoolPlan> plan)
    : limits_(limits), plan_(std::move(plan)), id_(make_uuid()) {
  if (plan_) spool_ = std::make_unique<Spool>(plan_->files, plan_->root, id_);
}

Journal::Journal(const Limits& limits, KeptElsewhere kept)
    : limits_(limits),
      id_(std::move(kept.id)),
      kept_elsewhere_(true),
      last_sequence_(kept.settled_through),
      settled_through_(kept.settled_through) {}

Journal::~Journal() = default;

// ---- appending

Journal::Appended Journal::append(int severity, std::string_view payload, bool may_wait) {
  const MutexLock lock(mutex_);
  if (closed_) return drop(DropCause::closed, severity);
  if (payload.size() > limits_.capacity_bytes / 2) return drop(DropCause::too_large, severity);
  const bool has_room_now = has_room(severity, payload.size());
  if (!has_room_now && !may_wait && limits_.overflow == Overflow::block) {
    return {.would_wait = true};
  }
  if (!has_room_now && !make_room(severity, payload.size())) {
    if (closed_) return drop(DropCause::closed, severity);
    return drop(
        limits_.overflow == Overflow::block ? DropCause::block_timeout : DropCause::queue_full,
        severity);
  }
  const Appended appended = append_locked(severity, payload);
  return appended.taken ? appended : drop(appended.cause, severity);
}

std::uint64_t Journal::offer(int severity, std::string_view payload) {
  const MutexLock lock(mutex_);
  if (kept_elsewhere_ || finished_ || !has_room(severity, payload.size())) return 0;
  return append_locked(severity, payload).sequence;
}

// Where there is room for it.
Journal::Appended Journal::append_locked(int severity, std::string_view payload) {
  const RecordView record{.sequence = last_sequence_ + 1,
                          .severity = severity,
                          .time_ns = plan_ ? now_ns() : 0,
                          .payload = payload};
  const Segment* const before = segments_.empty() ? nullptr : segments_.back().get();
  Segment* segment = segment_for(payload.size());
  // The file that was made ready may refuse it, too; memory does not.
  while (segment != nullptr && !segment->append(record)) {
    disk_refuses_ = true;
    note_trouble(Status::unavailable("the file of a segment cannot be written"));
    segment = begin_segment(payload.size());
  }
  if (segment == nullptr) {
    return {.cause = plan_ ? DropCause::queue_full : DropCause::out_of_memory};
  }
  ++last_sequence_;
  ++accepted_;
  ++pending_.records;
  pending_.bytes += payload.size();
  ++unread_.records;
  unread_.bytes += payload.size();
  return {
      .taken = true, .sequence = last_sequence_, .wake = due_to_wake(*segment, segment != before)};
}

void Journal::count_drop(DropCause cause, int severity) {
  const MutexLock lock(mutex_);
  drop(cause, severity);
}

void Journal::close() {
  const MutexLock lock(mutex_);
  closed_ = true;
  room_.notify_all();
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
  std::unique_ptr<Segment> segment = std::move(segments_[oldest]);
  segments_.erase(segments_.begin() + static_cast<std::ptrdiff_t>(oldest));
  const std::uint64_t records = segment->records();
  LevelCounts& counts = dropped_[static_cast<std::size_t>(DropCause::evicted)];
  for (std::size_t i = 0; i < kDropLevels; ++i) counts[i] += segment->levels()[i];
  pending_.records -= records;
  pending_.bytes -= segment->payload_bytes();
  unread_.records -= records;
  unread_.bytes -= segment->payload_bytes();
  if (records > 0) {
    const SequenceRange range{segment->first_sequence(), segment->last_sequence()};
    lose(range);
    given_up_.add(range);
    tell_news();
  }
  retire(std::move(segment));
  return true;
}

Segment* Journal::segment_for(std::size_t payload_bytes) {
  if (segments_.empty() || !segments_.back()->fits(payload_bytes)) {
    return begin_segment(payload_bytes);
  }
  // Back to files as soon as the disk takes them again.
  const bool file_is_ready = plan_ && !spares_.empty() && !segments_.back()->in_file();
  return file_is_ready ? begin_segment(payload_bytes) : segments_.back().get();
}

Segment* Journal::begin_segment(std::size_t payload_bytes) {
  const NotCancelled guard;
  const std::size_t needed = Segment::kFirstFrame + Segment::frame_bytes(payload_bytes);
  std::unique_ptr<Segment> segment = take_spare(needed);
  if (!segment && plan_ && !disk_refuses_) segment = new_file_segment(needed);
  if (!segment) segment = new_memory_segment(needed);
  if (!segment) return nullptr;
  if (Status begun = segment->begin(last_sequence_ + 1, now_ns()); !begun.ok()) {
    disk_refuses_ = true;
    note_trouble(begun);
    retire(std::move(segment));
    segment = new_memory_segment(needed);
    if (!segment || !segment->begin(last_sequence_ + 1, now_ns()).ok()) return nullptr;
  }
  segments_.push_back(std::move(segment));
  return segments_.back().get();
}

std::unique_ptr<Segment> Journal::take_spare(std::size_t needed) {
  if (spares_.empty()) return nullptr;
  if (spares_.front()->capacity() >= needed) {
    std::unique_ptr<Segment> spare = std::move(spares_.front());
    spares_.pop_front();
    return spare;
  }
  // The numbers of files are in the order of their use: those passed over are not used later.
  if (plan_) {
    for (auto& spare : spares_) retire(std::move(spare));
    spares_.clear();
  }
  return nullptr;
}

std::size_t Journal::most_spares() const {
  if (!plan_) return kSparesInMemory;
  return std::max<std::size_t>(1, kSpareFileBytes / limits_.segment_bytes);
}

std::unique_ptr<Segment> Journal::new_file_segment(std::size_t needed) {
  const std::size_t bytes = std::max(limits_.segment_bytes, needed);
  auto made = spool_->create_segment(++last_number_, bytes, plan_->mapped);
  if (made.ok()) return std::move(made.value());
  disk_refuses_ = true;
  note_trouble(made.status());
  return nullptr;
}

std::unique_ptr<Segment> Journal::new_memory_segment(std::size_t needed) {
  const std::size_t bytes = std::max(limits_.segment_bytes, needed);
  if (plan_ && memory_bytes_ + bytes > plan_->memory_bytes) return nullptr;
  std::unique_ptr<Segment> segment = Segment::create_anonymous(bytes);
  if (segment) memory_bytes_ += segment->capacity();
  return segment;
}

Journal::Appended Journal::drop(DropCause cause, int severity) {
  ++accepted_;
  ++dropped_[static_cast<std::size_t>(cause)][drop_level(severity)];
  tell_news();
  return {.taken = false, .cause = cause};
}

void Journal::lose(SequenceRange range) {
  first_lost_ = std::min(first_lost_, range.first);
  last_lost_ = std::max(last_lost_, range.last);
}

bool Journal::due_to_wake(const Segment& segment, bool new_segment) {
  bool due = unread_.records >= wake_at_.records || unread_.bytes >= wake_at_.bytes;
  if (plan_) {
    due |= new_segment || segment.end_offset() >= wake_at_offset_;
    if (due) wake_at_offset_ = SIZE_MAX;
  }
  if (due) wake_at_ = {UINT64_MAX, UINT64_MAX};
  return due;
}

// ---- what became of them

Journal::Mark Journal::mark() const {
  const MutexLock lock(mutex_);
  return {last_sequence_, total(dropped_) > 0};
}

std::uint64_t Journal::settled_through() const {
  const MutexLock lock(mutex_);
  return finished_ ? last_sequence_ : settled_through_;
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
  const std::uint64_t safe = std::max(durable_through_, settled_through_);
  stats.durable = accepted_ - std::min(last_sequence_ - safe, pending_.records);
}

void Journal::close_descriptors_in_child() {
  if (!plan_) return;
  spool_->close_in_child();
  for (const auto& segment : segments_) segment->close_in_child();
  for (const auto& segment : retired_) segment->close_in_child();
  for (const auto& segment : spares_) segment->close_in_child();
}

// ---- reading

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
  if (offset_ >= readable_ && !find_more()) return std::nullopt;
  const RecordView record = reading_->frame_at(offset_, next_offset_);
  peeked_bytes_ = record.payload.size();
  return record;
}

// Whether there is a record behind those that were known to be there.
bool Journal::find_more() {
  while (true) {
    if (reading_ != nullptr) {
      if (!reading_->in_memory() && !load(*reading_)) return false;
      readable_ = reading_->committed();
      if (offset_ < readable_) return true;
    }
    const MutexLock lock(mutex_);
    // Under the mutex nobody appends: if there is nothing here now, this segment has ended.
    if (reading_ != nullptr && offset_ < reading_->committed()) continue;
    const std::size_t next = reading_ == nullptr ? 0 : place_of_reader() + 1;
    if (next >= segments_.size()) return false;
    reading_ = segments_[next].get();
    offset_ = Segment::kFirstFrame;
    readable_ = 0;
  }
}

void Journal::advance() {
  ++stepped_over_.records;
  stepped_over_.bytes += peeked_bytes_;
  offset_ = next_offset_;
}

Journal::Amount Journal::unread() {
  const MutexLock lock(mutex_);
  unread_.records -= stepped_over_.records;
  unread_.bytes -= stepped_over_.bytes;
  stepped_over_ = {};
  return unread_;
}

// Back from the file, with what has become of it there. False where it cannot be read now.
bool Journal::load(Segment& segment) {
  SegmentMemory settled;
  if (!memory_to_load_.empty()) {
    settled = std::move(memory_to_load_.back());
    memory_to_load_.pop_back();
  }
  auto file = spool_->load_segment(segment.id().number, std::move(settled));
  if (!file.ok() && file.status().code() != StatusCode::not_found) return false;
  SegmentMemory memory = file.ok() ? std::move(file->memory) : SegmentMemory::anonymous(1);
  if (memory.data() == nullptr) return false;
  const Compacted left =
      compact_segment(memory.data(), file.ok() ? file->bytes : 0, segment.id(), 0);

  const MutexLock lock(mutex_);
  LevelCounts& damaged = dropped_[static_cast<std::size_t>(DropCause::damaged)];
  for (std::size_t i = 0; i < kDropLevels; ++i) damaged[i] += segment.levels()[i] - left.levels[i];
  const SequenceRange all{segment.first_sequence(), segment.last_sequence()};
  const std::uint64_t missing = left.found.missing_from(all);
  const std::uint64_t missing_bytes = segment.payload_bytes() - left.payload_bytes;
  pending_.records -= missing;
  pending_.bytes -= missing_bytes;
  unread_.records -= missing;
  unread_.bytes -= missing_bytes;
  if (missing > 0) {
    lose(all);
    tell_news();
  }
  segment.load(std::move(memory), left.end);
  return true;
}

// ---- settling

void Journal::settle(const Settlement& settlement) {
  std::vector<std::unique_ptr<Segment>> given_back;  // without the mutex
  {
    const MutexLock lock(mutex_);
    settled_through_ = settlement.through;
    for (const SequenceRange& range : settlement.given_up) {
      lose(range);
      given_up_.add(range);
    }
    delivered_ += settlement.records - total(settlement.dropped);
    for (std::size_t i = 0; i < kDropCauses; ++i) {
      for (std::size_t j = 0; j < kDropLevels; ++j) dropped_[i][j] += settlement.dropped[i][j];
    }
    if (!settlement.given_up.empty()) tell_news();
    pending_.records -= settlement.records;
    pending_.bytes -= settlement.bytes;
    given_back = retire_settled();
    if (limits_.overflow == Overflow::block) room_.notify_all();
  }
  save_cursor();
}

// An empty segment counts as settled: it is in the way where a record that it could not hold has
// got a segment of its own behind it. The last one in memory is appended to again from its
// beginning, but a large one's memory is given back; the last one in a file is filled first.
// Returns what nobody needs any more.
std::vector<std::unique_ptr<Segment>> Journal::retire_settled() {
  std::vector<std::unique_ptr<Segment>> unneeded;
  while (!segments_.empty() && segments_.front()->last_sequence() <= settled_through_) {
    Segment& front = *segments_.front();
    const bool last = segments_.size() == 1;
    const bool large = front.capacity() >= 2 * limits_.segment_bytes;
    if (last && front.in_file() && !large) break;
    const bool stays = last && !large && !plan_;
    if (&front == reading_) {
      offset_ = next_offset_ = Segment::kFirstFrame;
      readable_ = 0;
      if (!stays) reading_ = nullptr;
    }
    if (stays) {
      static_cast<void>(front.begin(last_sequence_ + 1, 0));  // in memory: cannot fail
      break;
    }
    if (auto rest = retire(std::move(segments_.front()))) unneeded.push_back(std::move(rest));
    segments_.pop_front();
  }
  return unneeded;
}

// Files are left to the worker; memory is kept for the next need, or returned.
std::unique_ptr<Segment> Journal::retire(std::unique_ptr<Segment> segment) {
  if (segment->in_file()) {
    retired_.push_back(std::move(segment));
    return nullptr;
  }
  const bool large = segment->capacity() >= 2 * limits_.segment_bytes;
  if (!plan_ && !large && spares_.size() < most_spares()) {
    spares_.push_front(std::move(segment));
    return nullptr;
  }
  memory_bytes_ -= segment->capacity();
  return segment;
}

std::vector<SequenceRange> Journal::given_up(std::size_t most) const {
  const MutexLock lock(mutex_);
  return given_up_.first(most);
}

void Journal::given_up_acknowledged(const std::vector<SequenceRange>& ranges) {
  const MutexLock lock(mutex_);
  given_up_.remove_through(ranges, settled_through_);
}

// ---- the worker's work on files

Clock::TimePoint Journal::maintain(Clock::TimePoint now) {
  if (!plan_) return kNever;
  park_distant();
  reuse_or_remove_retired(now);
  prepare_spare(now);
  populate_ahead(now);
  sync_due(now);
  const MutexLock lock(mutex_);
  auto due = kNever;
  if (disk_refuses_ && spares_.empty() && !closed_) due = next_try_;
  const bool unsynced = std::max(durable_through_, settled_through_) < last_sequence_;
  if (plan_->durability == Durability::power && unsynced) due = std::min(due, next_sync_);
  return due;
}

void Journal::note_trouble(const Status& status) {
  if (trouble_ == status.message()) return;
  trouble_ = status.message();
  trouble_taken_ = false;
  tell_news();
}

std::string Journal::take_trouble() {
  const MutexLock lock(mutex_);
  return std::exchange(trouble_taken_, true) ? std::string() : trouble_;
}

// Where that fails, a crash makes the last batch be sent again.
void Journal::save_cursor() {
  if (!plan_) return;
  std::uint64_t settled = 0;
  std::vector<SequenceRange> ranges;
  {
    const MutexLock lock(mutex_);
    if (!spool_->is_open()) return;
    settled = settled_through_;
    ranges = given_up_.ranges();
  }
  static_cast<void>(spool_->write_cursor(settled, ranges));
}

// Takes the memory of segments that are far from the reader and not appended to.
void Journal::park_distant() {
  std::vector<SegmentMemory> distant;  // given back without the mutex
  const MutexLock lock(mutex_);
  std::size_t resident = 0;
  const std::size_t reader = reading_ == nullptr ? 0 : place_of_reader();
  for (std::size_t i = reader; i + 1 < segments_.size(); ++i) {
    Segment& segment = *segments_[i];
    if (!segment.in_memory()) continue;
    resident += segment.capacity();
    const bool needed =
        &segment == reading_ || !segment.in_file() || resident <= kResidentBytes ||
        (plan_->durability == Durability::power && segment.last_sequence() > durable_through_);
    if (!needed) distant.push_back(segment.park());
  }
}

// The cursor first: what it does not cover must still be there after a crash. Both of its slots, so
// that the loss of one makes nothing seem lost that was settled.
void Journal::reuse_or_remove_retired(Clock::TimePoint now) {
  std::vector<std::unique_ptr<Segment>> retired;
  std::size_t wanted = 0;    // as spares
  std::uint64_t number = 0;  // of the last of them
  {
    const MutexLock lock(mutex_);
    if (retired_.empty()) return;
    retired.swap(retired_);
    if (!closed_) wanted = std::min(retired.size(), most_spares() - spares_.size());
    number = last_number_ += wanted;
  }
  for (int slot = 0; slot < 2; ++slot) {
    save_cursor();
    if (plan_->durability == Durability::power) static_cast<void>(spool_->sync_cursor());
  }
  std::vector<std::unique_ptr<Segment>> spares;
  for (auto& segment : retired) {
    const std::uint64_t old_number = segment->id().number;
    keep_memory(*segment);
    std::unique_ptr<Segment> spare;
    if (spares.size() < wanted) {
      spare = reuse(std::move(segment), number - wanted + 1 + spares.size(), now);
    }
    if (spare) {
      spares.push_back(std::move(spare));
    } else {
      static_cast<void>(spool_->remove_segment(old_number));
    }
  }
  if (spares.empty()) return;
  const MutexLock lock(mutex_);
  // The appender may have begun a file of a higher number meanwhile.
  if (number == last_number_) {
    disk_refuses_ = false;
    std::move(spares.begin(), spares.end(), std::back_inserter(spares_));
  } else {
    std::move(spares.begin(), spares.end(), std::back_inserter(retired_));
  }
}

// Of a segment that was loaded to be read, for the next one.
void Journal::keep_memory(Segment& segment) {
  if (segment.writes_to_file() || !segment.in_memory()) return;
  if ((memory_to_load_.size() + 1) * segment.capacity() > kMemoryToLoadBytes) return;
  memory_to_load_.push_back(segment.park());
}

// Its file for another life, under this number; null where it is of no use for that.
std::unique_ptr<Segment> Journal::reuse(std::unique_ptr<Segment> segment, std::uint64_t number,
                                        Clock::TimePoint now) {
  const std::uint64_t old_number = segment->id().number;
  // What has been written anew lies in another file than its memory.
  if (segment->sync_failed() || segment->capacity() != limits_.segment_bytes) return nullptr;
  if (segment->writes_to_file()) {
    if (!spool_->rename_segment(old_number, number).ok()) return nullptr;
    segment->name(spool_->segment_id(number));
    segment->populate(0, kPopulateAtFirstBytes, now);
  } else {
    auto reopened = make_ready(
        spool_->reopen_segment(old_number, number, limits_.segment_bytes, plan_->mapped), now);
    segment = reopened.ok() ? std::move(*reopened) : nullptr;
  }
  return segment;
}

// With its pages, or not at all.
Result<std::unique_ptr<Segment>> Journal::make_ready(Result<std::unique_ptr<Segment>> made,
                                                     Clock::TimePoint now) {
  if (!made.ok()) return made;
  Segment& segment = **made;
  // One that is written would be written twice.
  if (Status filled = plan_->mapped ? segment.fill() : Status(); !filled.ok()) {
    static_cast<void>(spool_->remove_segment(segment.id().number));
    return filled;
  }
  segment.populate(0, kPopulateAtFirstBytes, now);
  return made;
}

bool Journal::needs_spare(Clock::TimePoint now) const {
  if (disk_refuses_) return now >= next_try_;
  if (segments_.empty()) return false;
  const Segment& last = *segments_.back();
  return last.end_offset() >= last.capacity() / 2;
}

// A new file for the next need, where the one in use is half full or the disk has refused one.
void Journal::prepare_spare(Clock::TimePoint now) {
  std::uint64_t number = 0;
  {
    const MutexLock lock(mutex_);
    if (!spares_.empty() || closed_ || !needs_spare(now)) return;
    number = ++last_number_;
    if (!spool_->is_open()) {  // the appender may be about to open it
      disk_refuses_ = false;
      if (auto spare = new_file_segment(0)) spares_.push_back(std::move(spare));
      next_try_ = now + kDiskPause;
      return;
    }
  }
  auto made = make_ready(spool_->create_segment(number, limits_.segment_bytes, plan_->mapped), now);
  const MutexLock lock(mutex_);
  if (!made.ok()) {
    disk_refuses_ = true;
    next_try_ = now + kDiskPause;
    note_trouble(made.status());
  } else if (number == last_number_) {
    disk_refuses_ = false;
    spares_.push_back(std::move(*made));
  } else {
    retired_.push_back(std::move(*made));
  }
}

void Journal::populate_ahead(Clock::TimePoint now) {
  Segment* last = nullptr;
  {
    const MutexLock lock(mutex_);
    if (segments_.empty() || !segments_.back()->in_file()) return;
    last = segments_.back().get();
  }
  // It stays where it is: only this thread destroys segments in files.
  const std::size_t until = last->populate(last->end_offset(), kPopulateBytes, now);
  const MutexLock lock(mutex_);
  if (segments_.empty() || segments_.back().get() != last) return;
  const bool whole = until == last->capacity();
  wake_at_offset_ =
      whole ? std::max(last->capacity() / 2, last->end_offset() + 1) : until - kPopulateAgainBytes;
  if (whole && !spares_.empty()) wake_at_offset_ = SIZE_MAX;
}

void Journal::sync_due(Clock::TimePoint now) {
  if (plan_->durability != Durability::power || now < next_sync_) return;
  next_sync_ = now + plan_->sync_interval;
  sync();
}

void Journal::sync() {
  std::vector<Segment*> unsynced;
  std::uint64_t through = 0;
  {
    const MutexLock lock(mutex_);
    const std::uint64_t safe = std::max(durable_through_, settled_through_);
    if (!spool_->is_open() || safe >= last_sequence_) return;
    through = safe;
    for (const auto& segment : segments_) {
      if (segment->last_sequence() <= safe) continue;
      if (!segment->in_file()) break;
      unsynced.push_back(segment.get());
      through = segment->last_sequence();
    }
  }
  if (unsynced.empty()) return;
  if (Status synced = spool_->sync_names(); !synced.ok()) {
    const MutexLock lock(mutex_);
    note_trouble(synced);
    return;
  }
  for (Segment* segment : unsynced) {
    if (!make_durable(*segment)) return;
  }
  const MutexLock lock(mutex_);
  durable_through_ = std::max(durable_through_, through);
}

// After a failed sync the system may call pages clean that it has not written, so that a second
// sync of them would promise too much.
bool Journal::make_durable(Segment& segment) {
  if (!segment.in_memory()) return false;
  const Status synced = segment.sync();
  if (synced.ok()) return true;
  {
    const MutexLock lock(mutex_);
    note_trouble(synced);
    // Nothing more is appended to it.
    if (segments_.back().get() == &segment && begin_segment(0) == nullptr) return false;
  }
  const Status rewritten =
      spool_->rewrite_segment(segment.id().number, segment.image(), segment.capacity());
  return rewritten.ok();
}

// ---- the end

std::uint64_t Journal::drop_memory_segments() {
  std::uint64_t dropped = 0;
  for (const auto& segment : segments_) {
    if (segment->in_file()) continue;
    RecordView record;
    for (std::size_t at = Segment::kFirstFrame; segment->read(at, record, at);) {
      if (record.sequence <= settled_through_) continue;
      ++dropped;
      given_up_.add({record.sequence, record.sequence});
      --pending_.records;
      pending_.bytes -= record.payload.size();
      const auto closed = static_cast<std::size_t>(DropCause::closed);
      ++dropped_[closed][drop_level(record.severity)];
    }
  }
  return dropped;
}

Journal::Leftover Journal::finish() {
  Leftover leftover;
  {
    const MutexLock lock(mutex_);
    closed_ = true;
    leftover.dropped = drop_memory_segments();
    leftover.spooled = pending_.records;
    if (settled_through_ < last_sequence_) lose({settled_through_ + 1, last_sequence_});
  }
  if (plan_ && leftover.spooled > 0) {
    if (plan_->durability == Durability::power) sync();
    save_cursor();
  }
  const MutexLock lock(mutex_);
  finished_ = true;
  if (plan_ && spool_->is_open()) {
    for (auto& spare : spares_) retired_.push_back(std::move(spare));
    for (const auto& segment : retired_) {
      static_cast<void>(spool_->remove_segment(segment->id().number));
    }
    leftover.spooled > 0 ? spool_->release() : spool_->discard();
  }
  spares_.clear();
  retired_.clear();
  segments_.clear();
  unread_ = stepped_over_ = {};
  reading_ = nullptr;
  readable_ = 0;
  return leftover;
}

}  // namespace log_aggregator
