// SequenceRanges: a set of sequence numbers, kept as ranges. Not thread-safe.

#pragma once

#include <cstdint>
#include <vector>

namespace log_aggregator {

// All numbers from first to last, both included.
struct SequenceRange {
  std::uint64_t first = 0;
  std::uint64_t last = 0;

  std::uint64_t count() const { return last - first + 1; }
  bool operator==(const SequenceRange&) const = default;
};

class SequenceRanges {
 public:
  void add(SequenceRange range);
  void remove(SequenceRange range);
  // What of these is up to `through`.
  void remove_through(const std::vector<SequenceRange>& ranges, std::uint64_t through);

  // How many numbers of the range are not in the set.
  std::uint64_t missing_from(SequenceRange range) const;
  bool empty() const { return ranges_.empty(); }
  // Ascending, none overlapping or touching the next.
  const std::vector<SequenceRange>& ranges() const { return ranges_; }

 private:
  std::vector<SequenceRange> ranges_;
};

}  // namespace log_aggregator
