#include "src/journal/spool.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <optional>
#include <utility>

#include "src/base/crc32c.h"
#include "src/base/mutex.h"

namespace log_aggregator {
namespace {

constexpr std::string_view kLockName = "lock";
constexpr std::string_view kCursorName = "cursor";
constexpr std::string_view kSegmentSuffix = ".segment";
constexpr std::string_view kNewSuffix = ".new";  // of a segment that is being written anew
constexpr std::size_t kNumberDigits = 16;

// A larger file is none of ours; it is not read into memory.
constexpr std::uint64_t kMaxSegmentFile = std::uint64_t{1} << 30;

// A slot of the cursor. Stable: do not change.
struct Slot {
  std::uint64_t generation;
  std::uint64_t settled_through;
  std::uint32_t ranges;
  std::uint32_t zero;
  std::array<SequenceRange, kMaxRangesInCursor> given_up;
  std::array<char, 68> unused;
  std::uint32_t checksum;

  std::uint32_t right_checksum(std::uint32_t seed) const {
    return crc32c({reinterpret_cast<const char*>(this), offsetof(Slot, checksum)}, seed);
  }
  // As it is before it is written for the first time.
  bool is_empty() const {
    const auto* const bytes = reinterpret_cast<const char*>(this);
    return std::all_of(bytes, bytes + sizeof *this, [](char byte) { return byte == 0; });
  }
};
static_assert(sizeof(Slot) == 4096);

std::optional<std::uint64_t> number_of_segment(std::string_view name) {
  if (name.size() != kNumberDigits + kSegmentSuffix.size() || !name.ends_with(kSegmentSuffix)) {
    return std::nullopt;
  }
  std::uint64_t number = 0;
  const char* const end = name.data() + kNumberDigits;
  const auto [stopped, error] = std::from_chars(name.data(), end, number, 16);
  if (error != std::errc() || stopped != end) return std::nullopt;
  return number;
}

std::string join(const std::string& directory, std::string_view name) {
  return directory + '/' + std::string(name);
}

// In pieces where the whole cannot be read, so that a bad place on the disk costs what lies there.
// An error where nothing can.
Status read_what_can_be(File& file, char* buffer, std::size_t bytes) {
  auto read = file.read(0, buffer, bytes);
  if (read.ok()) return {};
  constexpr std::size_t kPieceBytes = 4096;
  bool any = false;
  for (std::size_t at = 0; at < bytes; at += kPieceBytes) {
    const std::size_t piece = std::min(kPieceBytes, bytes - at);
    const bool there = file.read(at, buffer + at, piece).ok();
    if (!there) std::memset(buffer + at, 0, piece);
    any |= there;
  }
  return any ? Status() : read.status();
}

// The locks that this process holds. Never destroyed: a worker that was left to itself may outlive
// the statics of the process.
struct HeldLocks {
  Mutex mutex;
  std::vector<File*> files GUARDED_BY(mutex);
};

HeldLocks& held_locks() {
  static HeldLocks* const locks = new HeldLocks;
  return *locks;
}

}  // namespace

Spool::Spool(Files& files, std::string root, std::string id)
    : files_(files),
      root_(std::move(root)),
      id_(std::move(id)),
      uuid_(parse_uuid(id_).value_or(UuidBytes{})),
      directory_(root_ + '/' + id_) {}

Spool::~Spool() { release(); }

// Made under another name, so that whoever finds a journal finds it locked.
Status Spool::open() {
  if (is_open()) return {};
  const std::string fresh = directory_ + std::string(kNewSuffix);
  Status opened = make(fresh);
  if (opened.ok()) opened = files_.rename(fresh, directory_);
  if (opened.ok()) return {};
  for (const std::string_view name : {kCursorName, kLockName}) {
    static_cast<void>(files_.remove(join(fresh, name)));
  }
  static_cast<void>(files_.remove_directory(fresh));
  release();
  return opened;
}

// What an earlier try may have left there is used.
Status Spool::make(const std::string& directory) {
  const Status made = files_.make_directory(directory);
  Status status = take_lock(directory, Files::Open::to_create);
  if (!status.ok()) status = take_lock(directory, Files::Open::to_write);
  if (!status.ok()) return made.ok() ? status : made;
  status = open_cursor(directory);
  // Its blocks now, so that a full disk cannot keep it from being written later.
  if (status.ok()) status = cursor_file_->write(0, std::string(2 * sizeof(Slot), '\0'));
  return status.ok() ? write_cursor(0, {}) : status;
}

Result<std::unique_ptr<Spool>> Spool::adopt(Files& files, const std::string& root,
                                            const std::string& id) {
  auto spool = std::make_unique<Spool>(files, root, id);
  // What is no directory of ours, or leads to another, is not to be locked, delivered or removed.
  const Status ours = files.check_private_directory(spool->directory_);
  if (!ours.ok()) return Status(StatusCode::not_found, ours.message());
  Status adopted = spool->take_lock(spool->directory_, Files::Open::to_write);
  // Left by one that died while it removed it.
  if (adopted.code() == StatusCode::not_found) {
    static_cast<void>(files.remove_directory(spool->directory_));
  }
  if (adopted.ok()) adopted = spool->open_cursor(spool->directory_);
  if (!adopted.ok()) return adopted;
  return spool;
}

Result<std::unique_ptr<Spool>> Spool::look_at(Files& files, const std::string& root,
                                              const std::string& id) {
  auto spool = std::make_unique<Spool>(files, root, id);
  auto cursor = files.open(spool->path(kCursorName), Files::Open::to_read);
  if (cursor.ok()) spool->cursor_file_ = std::move(*cursor);
  if (!cursor.ok() && cursor.status().code() != StatusCode::not_found) return cursor.status();
  return spool;
}

Result<bool> Spool::in_use() {
  const MutexLock hold(held_locks().mutex);
  auto lock = files_.open(path(kLockName), Files::Open::to_write);
  if (!lock.ok()) return lock.status();
  return !(*lock)->try_lock();
}

Status Spool::take_lock(const std::string& directory, Files::Open how) {
  const MutexLock hold(held_locks().mutex);
  auto lock = files_.open(join(directory, kLockName), how);
  if (!lock.ok()) return lock.status();
  if (!(*lock)->try_lock()) return Status::unavailable(id_ + " is in use");
  lock_ = std::move(*lock);
  held_locks().files.push_back(lock_.get());
  return {};
}

Status Spool::open_cursor(const std::string& directory) {
  const std::string name = join(directory, kCursorName);
  auto cursor = files_.open(name, Files::Open::to_write);
  if (cursor.status().code() == StatusCode::not_found) {
    cursor = files_.open(name, Files::Open::to_create);
  }
  if (!cursor.ok()) return cursor.status();
  cursor_file_ = std::move(*cursor);
  return {};
}

// ---- segments

std::string Spool::segment_path(std::uint64_t number) const {
  std::array<char, kNumberDigits + 1> digits{};
  std::snprintf(digits.data(), digits.size(), "%016llx", static_cast<unsigned long long>(number));
  return path(digits.data()) + std::string(kSegmentSuffix);
}

Result<std::unique_ptr<Segment>> Spool::create_segment(std::uint64_t number, std::size_t bytes,
                                                       bool mapped) {
  if (Status opened = open(); !opened.ok()) return opened;
  return open_segment(number, bytes, mapped, Files::Open::to_create);
}

// Removes the file again where that fails.
Result<std::unique_ptr<Segment>> Spool::open_segment(std::uint64_t number, std::size_t bytes,
                                                     bool mapped, Files::Open how) {
  const std::string name = segment_path(number);
  auto file = files_.open(name, how);
  if (!file.ok()) return file.status();
  Status reserved = mapped ? (*file)->reserve(bytes) : Status();
  if (reserved.ok()) {
    std::unique_ptr<Segment> segment = mapped ? Segment::create_mapped(std::move(*file), bytes)
                                              : Segment::create_written(std::move(*file), bytes);
    if (segment) {
      segment->name(segment_id(number));
      return segment;
    }
    reserved = Status::unavailable(name + ": no memory for it");
  }
  static_cast<void>(files_.remove(name));
  return reserved;
}

Status Spool::rename_segment(std::uint64_t from, std::uint64_t to) {
  return files_.rename(segment_path(from), segment_path(to));
}

Result<std::unique_ptr<Segment>> Spool::reopen_segment(std::uint64_t from, std::uint64_t to,
                                                       std::size_t bytes, bool mapped) {
  if (Status renamed = rename_segment(from, to); !renamed.ok()) return renamed;
  auto segment = open_segment(to, bytes, mapped, Files::Open::to_write);
  if (!segment.ok()) static_cast<void>(remove_segment(to));
  return segment;
}

Status Spool::rewrite_segment(std::uint64_t number, std::string_view image, std::size_t bytes) {
  const std::string name = segment_path(number);
  const std::string fresh = name + std::string(kNewSuffix);
  static_cast<void>(files_.remove(fresh));
  auto file = files_.open(fresh, Files::Open::to_create);
  if (!file.ok()) return file.status();
  Status status = (*file)->write(0, image);
  // So long as others; where that cannot be promised, a shorter file is as good to read.
  static_cast<void>((*file)->reserve(bytes));
  if (status.ok()) status = (*file)->sync();
  if (status.ok()) status = files_.rename(fresh, name);
  if (status.ok()) status = sync_names();
  return status;
}

Status Spool::remove_segment(std::uint64_t number) { return files_.remove(segment_path(number)); }

Result<Spool::Loaded> Spool::load_segment(std::uint64_t number, SegmentMemory memory) {
  auto file = files_.open(segment_path(number), Files::Open::to_read);
  if (!file.ok()) return file.status();
  const auto size = (*file)->size();
  if (!size.ok()) return size.status();
  if (*size > kMaxSegmentFile) return Status(StatusCode::not_found, "no segment: too large");
  Loaded loaded{.memory = std::move(memory), .bytes = static_cast<std::size_t>(*size)};
  // One byte more, so that an empty file has memory, too.
  if (loaded.memory.size() <= loaded.bytes) {
    loaded.memory = SegmentMemory::anonymous(loaded.bytes + 1);
  }
  if (loaded.memory.data() == nullptr) return Status(StatusCode::out_of_memory, "no memory");
  const Status read = read_what_can_be(**file, loaded.memory.data(), loaded.bytes);
  if (!read.ok()) return read;
  return loaded;
}

Result<std::vector<std::uint64_t>> Spool::segment_numbers() {
  const auto names = files_.list(directory_);
  if (!names.ok()) return names.status();
  std::vector<std::uint64_t> numbers;
  for (const std::string& name : *names) {
    if (const auto number = number_of_segment(name)) numbers.push_back(*number);
  }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

// ---- the cursor

std::uint32_t Spool::cursor_seed() const { return crc32c({uuid_.data(), uuid_.size()}); }

bool Spool::read_slot(int place, void* slot, std::size_t bytes) {
  if (!cursor_file_) return false;
  const std::uint64_t offset = static_cast<std::uint64_t>(place) * bytes;
  const auto read = cursor_file_->read(offset, static_cast<char*>(slot), bytes);
  return read.ok() && *read == bytes;
}

Cursor Spool::read_cursor() {
  Cursor cursor;
  for (const int place : {0, 1}) {
    Slot slot{};
    const bool read = read_slot(place, &slot, sizeof slot);
    if (!read || slot.checksum != slot.right_checksum(cursor_seed())) {
      if (!read || !slot.is_empty()) cursor.damaged_slots.push_back(place);
      continue;
    }
    if (slot.generation <= cursor.generation || slot.ranges > kMaxRangesInCursor) continue;
    cursor.generation = slot.generation;
    cursor.settled_through = slot.settled_through;
    cursor.given_up.assign(slot.given_up.begin(), slot.given_up.begin() + slot.ranges);
  }
  generation_ = cursor.generation;
  return cursor;
}

Status Spool::write_cursor(std::uint64_t settled_through,
                           const std::vector<SequenceRange>& given_up) {
  Slot slot{};
  slot.generation = generation_ + 1;
  slot.settled_through = settled_through;
  slot.ranges = static_cast<std::uint32_t>(std::min(given_up.size(), kMaxRangesInCursor));
  std::copy_n(given_up.begin(), slot.ranges, slot.given_up.begin());
  slot.checksum = slot.right_checksum(cursor_seed());
  Status written = cursor_file_->write(slot.generation % 2 * sizeof slot,
                                       {reinterpret_cast<const char*>(&slot), sizeof slot});
  // Else the next goes to the same slot: the other one is good.
  if (written.ok()) generation_ = slot.generation;
  return written;
}

Status Spool::sync_cursor() { return cursor_file_->sync(); }

Status Spool::sync_names() {
  Status status = files_.sync_directory(directory_);
  return status.ok() ? files_.sync_directory(root_) : status;
}

// ---- the end

void Spool::release() {
  cursor_file_.reset();
  const MutexLock hold(held_locks().mutex);
  std::erase(held_locks().files, lock_.get());
  lock_.reset();
}

void Spool::discard() {
  if (!is_open()) return;
  // The lock last: until then nobody else takes what is half removed, and where something stays,
  // somebody may take it later.
  Status removed = remove_segments();
  if (removed.ok()) removed = files_.remove(path(kCursorName));
  if (removed.ok()) removed = files_.remove(path(kLockName));
  if (removed.ok()) static_cast<void>(files_.remove_directory(directory_));
  release();
}

Status Spool::remove_segments() {
  const auto names = files_.list(directory_);
  if (!names.ok()) return names.status();
  Status status;
  for (const std::string& name : *names) {
    if (!name.ends_with(kNewSuffix) && !number_of_segment(name)) continue;
    if (Status removed = files_.remove(path(name)); !removed.ok()) status = removed;
  }
  return status;
}

void Spool::close_in_child() {
  if (cursor_file_) cursor_file_->close_in_child();
}

Result<std::vector<std::string>> journals_in(Files& files, const std::string& root) {
  auto names = files.list(root);
  if (!names.ok()) return names;
  std::erase_if(*names, [](const std::string& name) { return !parse_uuid(name); });
  return names;
}

void hold_spool_locks_for_fork() NO_THREAD_SAFETY_ANALYSIS { held_locks().mutex.lock(); }

void resume_spool_locks_after_fork() NO_THREAD_SAFETY_ANALYSIS { held_locks().mutex.unlock(); }

void close_spool_locks_in_child() NO_THREAD_SAFETY_ANALYSIS {
  for (File* const lock : held_locks().files) lock->close_in_child();
  held_locks().files.clear();
}

}  // namespace log_aggregator
