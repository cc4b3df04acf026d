#include "src/journal/scan.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "src/base/crc32c.h"

namespace log_aggregator {
namespace {

class Scanner {
 public:
  Scanner(std::string_view bytes, const SegmentId& id) : bytes_(bytes), seed_(id.seed()) {
    SegmentHeader header{};
    if (read_at(0, header) && header.valid() && header.number == id.number &&
        header.journal == id.journal) {
      result_.header_valid = true;
      result_.first_sequence = header.first_sequence;
      result_.begun_ns = header.begun_ns;
    }
    CommitHint hint{};
    if (read_at(kCommitHintOffset, hint) && hint.valid(seed_)) hint_ = hint;
  }

  ScanResult run(const std::function<void(const RecordView&, std::size_t)>& found,
                 const std::function<void(const Damage&)>& damaged) {
    std::size_t offset = Segment::kFirstFrame;
    while (offset < bytes_.size()) {
      const std::optional<FrameHeader> header = frame_at(offset);
      if (!header) {
        const std::size_t next = next_frame(offset);
        const bool goes_on = next < bytes_.size();
        const std::size_t end = goes_on ? next : committed_end();
        if (offset < end) damaged({offset, end - offset, 0});
        if (!goes_on) break;
        offset = next;
        continue;
      }
      visit(offset, *header, found, damaged);
      offset += Segment::frame_bytes(header->length);
    }
    count_what_the_hint_knows();
    return result_;
  }

 private:
  template <typename T>
  bool read_at(std::size_t offset, T& value) const {
    if (offset > bytes_.size() || bytes_.size() - offset < sizeof value) return false;
    std::memcpy(&value, bytes_.data() + offset, sizeof value);
    return true;
  }

  // A frame whose header can be relied on, and which is wholly within the file.
  std::optional<FrameHeader> frame_at(std::size_t offset) const {
    FrameHeader header{};
    if (!read_at(offset, header) || !header.valid(seed_)) return std::nullopt;
    if (header.length > bytes_.size() - offset - sizeof header) return std::nullopt;
    return header;
  }

  // Behind the committed length there is no damage, only what was never committed. Without a hint
  // nobody knows, and a torn end is not called damage.
  std::size_t committed_end() const {
    return hint_ ? std::min<std::size_t>(hint_->length, bytes_.size()) : 0;
  }

  std::size_t next_frame(std::size_t offset) const {
    const std::size_t end = hint_ ? committed_end() : bytes_.size();
    for (offset += kFrameAlignment; offset < end; offset += kFrameAlignment) {
      if (frame_at(offset)) return offset;
    }
    return bytes_.size();
  }

  void visit(std::size_t offset, const FrameHeader& header,
             const std::function<void(const RecordView&, std::size_t)>& found,
             const std::function<void(const Damage&)>& damaged) {
    const std::string_view payload = bytes_.substr(offset + sizeof header, header.length);
    const bool whole = crc32c(payload, seed_) == header.payload_checksum;
    // Its writer may have died at it.
    if (!whole && hint_ && offset >= committed_end()) return;
    result_.last_known = std::max(result_.last_known, header.sequence);
    if (!whole) {
      damaged({offset, Segment::frame_bytes(header.length), header.sequence});
      return;
    }
    ++result_.records;
    found({header.sequence, header.severity, header.time_ns, payload}, offset);
  }

  void count_what_the_hint_knows() {
    if (!hint_ || result_.first_sequence == 0 || hint_->records == 0) return;
    result_.last_known = std::max(result_.last_known, result_.first_sequence + hint_->records - 1);
  }

  const std::string_view bytes_;
  const std::uint32_t seed_;
  std::optional<CommitHint> hint_;
  ScanResult result_;
};

}  // namespace

ScanResult scan_segment(std::string_view bytes, const SegmentId& id,
                        const std::function<void(const RecordView&, std::size_t)>& found,
                        const std::function<void(const Damage&)>& damaged) {
  return Scanner(bytes, id).run(found, damaged);
}

Compacted compact_segment(char* bytes, std::size_t size, const SegmentId& id, std::uint64_t above) {
  Compacted compacted;
  compacted.end = Segment::kFirstFrame;
  const auto keep = [&](const RecordView& record, std::size_t offset) {
    compacted.found.add({record.sequence, record.sequence});
    if (record.sequence <= above) return;
    ++compacted.levels[drop_level(record.severity)];
    compacted.payload_bytes += record.payload.size();
    const std::size_t frame = Segment::frame_bytes(record.payload.size());
    std::memmove(bytes + compacted.end, bytes + offset, std::min(frame, size - offset));
    compacted.end += frame;
  };
  compacted.scan = scan_segment({bytes, size}, id, keep, [](const Damage&) {});
  return compacted;
}

}  // namespace log_aggregator
