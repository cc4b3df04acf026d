// IntervalSet: a set of sequence numbers kept as disjoint intervals that do not touch.
//
// What a journal has delivered is nearly one interval, whatever its size, so a set stays small
// where a list of numbers would not. Not thread-safe.

#pragma once

#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

#include "log_aggregator/status.h"

namespace log_aggregator::collector {

// The largest sequence number: one above it still fits a signed 64-bit integer, which is what
// stores have.
inline constexpr std::uint64_t kMaxSequence = std::numeric_limits<std::int64_t>::max() - 1;

// All numbers from first to last, both included.
struct Interval {
  std::uint64_t first = 0;
  std::uint64_t last = 0;

  bool operator==(const Interval&) const = default;
};

class IntervalSet {
 public:
  // Numbers that are already in the set may be added again.
  void add(Interval interval);
  bool contains(std::uint64_t number) const;

  // In ascending order, none overlapping or adjacent to the next.
  const std::vector<Interval>& intervals() const { return intervals_; }

 private:
  std::vector<Interval> intervals_;
};

// Reads "17-40,42,50-60": ascending intervals that do not overlap, none above kMaxSequence.
Result<std::vector<Interval>> parse_intervals(std::string_view text);

// How many numbers they hold together; parse_intervals has checked that this does not overflow.
std::uint64_t count_numbers(const std::vector<Interval>& intervals);

}  // namespace log_aggregator::collector
