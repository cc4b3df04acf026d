// SequenceRanges: a set of sequence numbers, kept as ranges, and ranges as text.
//
// What a journal has delivered is nearly one range, whatever its size, so a set stays small where a
// list of numbers would not. Not thread-safe.

#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "log_aggregator/status.h"

namespace log_aggregator {

// The largest sequence number: one above it still fits a signed 64-bit integer, which is what
// stores have.
inline constexpr std::uint64_t kMaxSequence = std::numeric_limits<std::int64_t>::max() - 1;

// All numbers from first to last, both included, none above kMaxSequence.
struct SequenceRange {
  std::uint64_t first = 0;
  std::uint64_t last = 0;

  std::uint64_t count() const { return last - first + 1; }
  bool operator==(const SequenceRange&) const = default;
};

class SequenceRanges {
 public:
  // Numbers that are already in the set may be added again.
  void add(SequenceRange range);
  void remove(SequenceRange range);
  // What of these is up to `through`.
  void remove_through(const std::vector<SequenceRange>& ranges, std::uint64_t through);

  bool contains(std::uint64_t number) const;
  // How many of its numbers are at or below this one.
  std::uint64_t count_through(std::uint64_t through) const;
  // How many numbers of the range are not in the set.
  std::uint64_t missing_from(SequenceRange range) const;
  bool empty() const { return ranges_.empty(); }
  // Ascending, none overlapping or touching the next.
  const std::vector<SequenceRange>& ranges() const { return ranges_; }
  // The first of them, at most that many.
  std::vector<SequenceRange> first(std::size_t most) const;

 private:
  std::vector<SequenceRange> ranges_;
};

// How many numbers ranges that do not overlap hold together.
std::uint64_t count_numbers(const std::vector<SequenceRange>& ranges);

// As "17-40,42-42".
std::string range_text(const std::vector<SequenceRange>& ranges);
// Reads "17-40,42, 50-60": ascending ranges that do not overlap, none above kMaxSequence.
Result<std::vector<SequenceRange>> parse_ranges(std::string_view text);

}  // namespace log_aggregator
