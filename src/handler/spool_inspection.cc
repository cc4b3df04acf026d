// Looking at a spool without changing it: list_spool, read_crashes and verify_spool.

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <utility>

#include "log_aggregator/spool.h"
#include "src/base/crc32c.h"
#include "src/base/files.h"
#include "src/base/sequence_ranges.h"
#include "src/handler/crash_record.h"
#include "src/journal/scan.h"
#include "src/journal/segment.h"
#include "src/journal/spool.h"

namespace log_aggregator {
namespace {

Result<std::vector<std::string>> journals_of(const std::string& directory) {
  Files& files = real_files();
  if (Status usable = files.check_private_directory(directory); !usable.ok()) return usable;
  auto names = journals_in(files, directory);
  if (names.ok()) std::sort(names->begin(), names->end());
  return names;
}

std::string_view bytes_of(const Spool::Loaded& file) { return {file.memory.data(), file.bytes}; }

// ---- list

void count_records(const Spool::Loaded& file, const SegmentId& id, SpooledJournal& journal) {
  ++journal.segments;
  journal.file_bytes += file.bytes;
  const auto count = [&](const RecordView& record, std::size_t) {
    if (record.sequence <= journal.settled_through) return;
    if (journal.records++ == 0) journal.oldest_ns = record.time_ns;
    journal.record_bytes += record.payload.size();
    journal.oldest_ns = std::min(journal.oldest_ns, record.time_ns);
    journal.newest_ns = std::max(journal.newest_ns, record.time_ns);
    if (is_crash_record(record)) ++journal.crashes;
  };
  scan_segment(bytes_of(file), id, count, [](const Damage&) {});
}

// None where it is no journal, or gone.
std::optional<SpooledJournal> look_at(const std::string& directory, const std::string& id) {
  SpooledJournal journal{.id = id};
  const auto spool = Spool::look_at(real_files(), directory, id);
  if (!spool.ok()) {
    journal.trouble = spool.status().message();
    return journal;
  }
  const auto in_use = (*spool)->in_use();
  journal.in_use = in_use.ok() && *in_use;
  if (!in_use.ok()) journal.trouble = in_use.status().message();
  journal.settled_through = (*spool)->read_cursor().settled_through;
  const auto numbers = (*spool)->segment_numbers();
  if (!numbers.ok()) journal.trouble = numbers.status().message();
  if (!numbers.ok() || numbers->empty()) {
    const bool gone = !in_use.ok() && in_use.status().code() == StatusCode::not_found;
    return gone ? std::nullopt : std::optional(journal);
  }
  for (const std::uint64_t number : *numbers) {
    const auto file = (*spool)->load_segment(number);
    if (file.ok()) count_records(*file, (*spool)->segment_id(number), journal);
    // Not found: settled and removed meanwhile.
    if (!file.ok() && file.status().code() != StatusCode::not_found) {
      journal.trouble = file.status().message();
    }
  }
  return journal;
}

// ---- crashes

void read_crashes_of(const std::string& directory, const std::string& id,
                     std::vector<SpooledCrash>& crashes) {
  const auto spool = Spool::look_at(real_files(), directory, id);
  if (!spool.ok()) return;
  const std::uint64_t settled_through = (*spool)->read_cursor().settled_through;
  const auto numbers = (*spool)->segment_numbers();
  if (!numbers.ok()) return;
  const auto read = [&](const RecordView& record, std::size_t) {
    if (record.sequence <= settled_through || !is_crash_record(record)) return;
    crashes.push_back({id, record.time_ns, std::string(record.payload)});
  };
  for (const std::uint64_t number : *numbers) {
    const auto file = (*spool)->load_segment(number);
    if (!file.ok()) continue;
    scan_segment(bytes_of(*file), (*spool)->segment_id(number), read, [](const Damage&) {});
  }
}

// ---- verify

// At most these bytes of a segment's beginning are of a kind of their own.
constexpr std::size_t kHeaderBytes = sizeof(SegmentHeader);

template <typename T>
bool read_at(std::string_view bytes, std::size_t offset, T& value) {
  if (bytes.size() < offset + sizeof value) return false;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return true;
}

// What one segment holds, and what is wrong with it.
class SegmentCheck {
 public:
  SegmentCheck(std::string_view bytes, const SegmentId& id) : bytes_(bytes), id_(id) {
    SegmentHeader header{};
    if (read_at(bytes, 0, header) && header.valid() && header.journal == id.journal) {
      header_valid_ = header.number == id.number;
      former_life_ = header.number < id.number;
    }
    if (header_valid_) next_ = header.first_sequence;
    first_ = next_;
  }

  void run() {
    const ScanResult scan = scan_segment(
        bytes_, id_, [&](const RecordView& record, std::size_t at) { found(record, at); },
        [&](const Damage& damage) { damaged(damage); });
    if (next_ != 0 && scan.last_known >= next_) account_up_to(scan.last_known + 1, end_);
    if (was_begun()) check_beginning();
  }

  std::uint64_t records() const { return records_; }
  // The first sequence number it has or had; 0: not known.
  std::uint64_t first_sequence() const { return first_; }
  // Numbers that are here, or that damage here has hit.
  const SequenceRanges& accounted() const { return accounted_; }
  const std::vector<SpoolDamage>& damage() const { return damage_; }

 private:
  void found(const RecordView& record, std::size_t offset) {
    ++records_;
    visit(record.sequence, offset, Segment::frame_bytes(record.payload.size()));
  }

  void damaged(const Damage& damage) {
    if (damage.sequence != 0) visit(damage.sequence, damage.offset, damage.bytes);
    note(damage.sequence != 0 ? DamageKind::payload : DamageKind::frame_header, damage.offset,
         damage.bytes, {damage.sequence, damage.sequence});
    if (damage.sequence == 0) hole_ = damage_.size() - 1;
  }

  void visit(std::uint64_t sequence, std::size_t offset, std::size_t bytes) {
    if (next_ != 0 && sequence > next_) account_up_to(sequence, offset);
    hole_.reset();
    if (first_ == 0) first_ = sequence;
    accounted_.add({sequence, sequence});
    next_ = sequence + 1;
    before_end_ = end_;
    end_ = offset + bytes;
  }

  // The numbers from next_ to before `sequence` were in the hole that was found, if any was.
  void account_up_to(std::uint64_t sequence, std::size_t offset) {
    const SequenceRange range{next_, sequence - 1};
    accounted_.add(range);
    next_ = sequence;
    if (!hole_) {
      note(DamageKind::missing, offset, 0, range);
      return;
    }
    damage_[*hole_].first_sequence = range.first;
    damage_[*hole_].last_sequence = range.last;
  }

  void note(DamageKind kind, std::size_t offset, std::size_t bytes, SequenceRange range) {
    damage_.push_back({.kind = kind,
                       .segment = id_.number,
                       .offset = offset,
                       .bytes = bytes,
                       .first_sequence = range.first,
                       .last_sequence = range.last});
  }

  // A file that was made ready, and never used, holds zeros or a former life; where its owner died
  // just then, a part of the header is still zero.
  bool was_begun() const {
    if (header_valid_ || !accounted_.empty() || !damage_.empty()) return true;
    return !bytes_.empty() && !former_life_ && !is_half_written();
  }

  bool is_half_written() const {
    constexpr std::size_t kStoreBytes = 16;
    for (std::size_t at = 0; at < kHeaderBytes; at += kStoreBytes) {
      const std::string_view part = bytes_.substr(std::min(at, bytes_.size()), kStoreBytes);
      if (part.find_first_not_of('\0') == std::string_view::npos) return true;
    }
    return false;
  }

  void check_beginning() {
    if (!header_valid_) note(DamageKind::segment_header, 0, kHeaderBytes, {});
    CommitHint hint{};
    const bool read = read_at(bytes_, kCommitHintOffset, hint);
    if (read && (hint.valid(id_.seed()) || was_cut_off(hint))) return;
    note(DamageKind::commit_hint, kCommitHintOffset, sizeof hint, {});
  }

  // Whether its owner may have died while it wrote this hint: each part is that of the last frame,
  // or that of the one before.
  bool was_cut_off(const CommitHint& hint) const {
    const std::uint64_t count = next_ - first_;
    const CommitHint last = hint_of(end_, count);
    const CommitHint before = count == 0 ? CommitHint{} : hint_of(before_end_, count - 1);
    return (hint.length == last.length || hint.length == before.length) &&
           (hint.records == last.records || hint.records == before.records) &&
           (hint.checksum == last.checksum || hint.checksum == before.checksum);
  }

  CommitHint hint_of(std::size_t end, std::uint64_t records) const {
    CommitHint hint{.length = static_cast<std::uint32_t>(end),
                    .records = static_cast<std::uint32_t>(records),
                    .checksum = 0};
    const auto* const start = reinterpret_cast<const char*>(&hint);
    hint.checksum = crc32c({start, offsetof(CommitHint, checksum)}, id_.seed());
    return hint;
  }

  const std::string_view bytes_;
  const SegmentId id_;
  bool header_valid_ = false;
  bool former_life_ = false;  // the header is right, but that of an earlier segment
  std::uint64_t first_ = 0;
  std::uint64_t next_ = 0;                  // sequence number; 0: any
  std::size_t end_ = Segment::kFirstFrame;  // of the last frame
  std::size_t before_end_ = Segment::kFirstFrame;
  std::optional<std::size_t> hole_;  // in damage_: since the last frame
  std::uint64_t records_ = 0;
  SequenceRanges accounted_;
  std::vector<SpoolDamage> damage_;
};

class JournalCheck {
 public:
  JournalCheck(const std::string& directory, std::string id) : directory_(directory) {
    result_.id = std::move(id);
  }

  // None where it is no journal, or gone.
  std::optional<CheckedJournal> run() {
    auto spool = Spool::look_at(real_files(), directory_, result_.id);
    if (!spool.ok()) return unreadable(spool.status());
    spool_ = std::move(*spool);
    const bool is_journal = take_lock();
    cursor_ = spool_->read_cursor();
    const auto numbers = spool_->segment_numbers();
    if (!numbers.ok() && numbers.status().code() != StatusCode::not_found) {
      return unreadable(numbers.status());
    }
    const bool has_segments = numbers.ok() && !numbers->empty();
    if (!is_journal && !has_segments) return std::nullopt;
    if (!has_segments) return result_;  // its owner died before there was anything to keep
    check_cursor();
    for (const std::uint64_t number : *numbers) check_segment(number);
    if (!result_.in_use) find_missing();
    for (SpoolDamage& damage : result_.damage) count_lost(damage);
    return result_;
  }

 private:
  // False where there is no lock.
  bool take_lock() {
    const auto in_use = spool_->in_use();
    if (!in_use.ok()) {
      note_unreadable(0, in_use.status());
      return in_use.status().code() != StatusCode::not_found;
    }
    result_.in_use = *in_use || !spool_->lock().ok();
    return true;
  }

  CheckedJournal unreadable(const Status& status) {
    note_unreadable(0, status);
    return result_;
  }

  void note_unreadable(std::uint64_t segment, const Status& status) {
    SpoolDamage damage{.kind = DamageKind::unreadable, .segment = segment};
    damage.why = status.message();
    result_.damage.push_back(std::move(damage));
  }

  void check_cursor() {
    std::vector<int> damaged = cursor_.damaged_slots;
    if (result_.in_use && !damaged.empty()) {
      const std::vector<int> again = spool_->read_cursor().damaged_slots;
      std::erase_if(damaged,
                    [&](int slot) { return std::count(again.begin(), again.end(), slot) == 0; });
    }
    constexpr std::uint64_t kSlotBytes = 4096;
    for (const int slot : damaged) {
      result_.damage.push_back({.kind = DamageKind::cursor_slot,
                                .offset = static_cast<std::uint64_t>(slot) * kSlotBytes,
                                .bytes = kSlotBytes});
    }
  }

  void check_segment(std::uint64_t number) {
    auto file = spool_->load_segment(number);
    if (!file.ok()) {
      if (still_there(number)) note_unreadable(number, file.status());
      return;
    }
    SegmentCheck check(bytes_of(*file), spool_->segment_id(number));
    check.run();
    ++result_.segments;
    result_.records += check.records();
    if (first_known_ == 0) first_known_ = check.first_sequence();
    for (const SequenceRange& range : check.accounted().ranges()) accounted_.add(range);
    for (const SpoolDamage& damage : confirmed(number, check.damage())) {
      result_.damage.push_back(damage);
    }
  }

  // A live owner may have been at work on what was read: what is gone at a second look was none.
  std::vector<SpoolDamage> confirmed(std::uint64_t number, std::vector<SpoolDamage> damage) {
    if (!result_.in_use || damage.empty()) return damage;
    auto file = spool_->load_segment(number);
    if (!file.ok()) return {};
    SegmentCheck again(bytes_of(*file), spool_->segment_id(number));
    again.run();
    std::erase_if(damage, [&](const SpoolDamage& each) {
      return std::count(again.damage().begin(), again.damage().end(), each) == 0;
    });
    return damage;
  }

  bool still_there(std::uint64_t number) {
    const auto numbers = spool_->segment_numbers();
    return numbers.ok() && std::count(numbers->begin(), numbers->end(), number) > 0;
  }

  // Between segments, or before the first of them.
  void find_missing() {
    std::uint64_t expected = cursor_.generation > 0 ? cursor_.settled_through + 1 : first_known_;
    SequenceRanges missing;
    for (const SequenceRange& range : accounted_.ranges()) {
      if (expected != 0 && range.first > expected) missing.add({expected, range.first - 1});
      expected = std::max(expected, range.last + 1);
    }
    for (const SequenceRange& range : cursor_.given_up) missing.remove(range);
    for (const SequenceRange& range : missing.ranges()) {
      result_.damage.push_back({.kind = DamageKind::missing,
                                .first_sequence = range.first,
                                .last_sequence = range.last});
    }
  }

  void count_lost(SpoolDamage& damage) const {
    const std::uint64_t first = std::max(damage.first_sequence, cursor_.settled_through + 1);
    if (damage.first_sequence == 0 || first > damage.last_sequence) return;
    SequenceRanges given_up;
    for (const SequenceRange& range : cursor_.given_up) given_up.add(range);
    damage.lost = given_up.missing_from({first, damage.last_sequence});
  }

  const std::string& directory_;
  std::unique_ptr<Spool> spool_;
  Cursor cursor_;
  CheckedJournal result_;
  SequenceRanges accounted_;
  std::uint64_t first_known_ = 0;
};

}  // namespace

Result<std::vector<SpooledJournal>> list_spool(const std::string& directory) {
  const auto ids = journals_of(directory);
  if (!ids.ok()) return ids.status();
  std::vector<SpooledJournal> journals;
  for (const std::string& id : *ids) {
    if (auto journal = look_at(directory, id)) journals.push_back(std::move(*journal));
  }
  const auto age_rank = [](const SpooledJournal& journal) {
    return std::pair(journal.records == 0, journal.oldest_ns);
  };
  std::stable_sort(journals.begin(), journals.end(),
                   [&](const auto& a, const auto& b) { return age_rank(a) < age_rank(b); });
  return journals;
}

Result<std::vector<SpooledCrash>> read_crashes(const std::string& directory) {
  const auto ids = journals_of(directory);
  if (!ids.ok()) return ids.status();
  std::vector<SpooledCrash> crashes;
  for (const std::string& id : *ids) read_crashes_of(directory, id, crashes);
  std::stable_sort(crashes.begin(), crashes.end(),
                   [](const auto& a, const auto& b) { return a.time_ns < b.time_ns; });
  return crashes;
}

Result<std::vector<CheckedJournal>> verify_spool(const std::string& directory) {
  const auto ids = journals_of(directory);
  if (!ids.ok()) return ids.status();
  std::vector<CheckedJournal> journals;
  for (const std::string& id : *ids) {
    if (auto journal = JournalCheck(directory, id).run()) journals.push_back(std::move(*journal));
  }
  return journals;
}

}  // namespace log_aggregator
