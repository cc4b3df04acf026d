// Reads segments that a file has kept: what recovery, `spool verify` and the reader of a long
// backlog have in common. Trusts nothing but checksums; any bytes are safe to give to it.

#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>

#include "src/base/sequence_ranges.h"
#include "src/journal/segment.h"

namespace log_aggregator {

// A stretch of a segment that is not what was written.
struct Damage {
  std::size_t offset = 0;
  std::size_t bytes = 0;
  std::uint64_t sequence = 0;  // of the record whose payload it hit; 0: a frame's header was hit
};

struct ScanResult {
  bool header_valid = false;         // what it says is used then, else the names
  std::uint64_t first_sequence = 0;  // as the header has it; 0: unknown
  std::int64_t begun_ns = 0;         // likewise
  std::uint64_t records = 0;         // found whole
  std::uint64_t last_known = 0;  // the highest sequence number that this segment had; 0: unknown
};

// Calls `found` for each whole record in order, with where its frame begins, and `damaged` for what
// lies between them. `found` may overwrite everything before the record's end.
ScanResult scan_segment(std::string_view bytes, const SegmentId& id,
                        const std::function<void(const RecordView&, std::size_t offset)>& found,
                        const std::function<void(const Damage&)>& damaged);

// What is left of a segment when everything but its whole records above a sequence number is taken
// out of `bytes`: they stand at the beginning, as Segment::load() takes them.
struct Compacted {
  std::size_t end = 0;
  LevelCounts levels{};
  std::uint64_t payload_bytes = 0;
  SequenceRanges found;  // also those that are not above
  ScanResult scan;
};
Compacted compact_segment(char* bytes, std::size_t size, const SegmentId& id, std::uint64_t above);

}  // namespace log_aggregator
