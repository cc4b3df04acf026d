#include "src/journal/sequence_ranges.h"

#include <algorithm>

namespace log_aggregator {

void SequenceRanges::add(SequenceRange range) {
  // All that the range overlaps or touches becomes one with it.
  const auto begin = std::find_if(ranges_.begin(), ranges_.end(), [&](const SequenceRange& each) {
    return each.last + 1 >= range.first;
  });
  auto end = begin;
  for (; end != ranges_.end() && end->first <= range.last + 1; ++end) {
    range.first = std::min(range.first, end->first);
    range.last = std::max(range.last, end->last);
  }
  ranges_.insert(ranges_.erase(begin, end), range);
}

void SequenceRanges::remove(SequenceRange range) {
  std::vector<SequenceRange> left;
  for (const SequenceRange& each : ranges_) {
    if (each.last < range.first || each.first > range.last) {
      left.push_back(each);
      continue;
    }
    if (each.first < range.first) left.push_back({each.first, range.first - 1});
    if (each.last > range.last) left.push_back({range.last + 1, each.last});
  }
  ranges_ = std::move(left);
}

void SequenceRanges::remove_through(const std::vector<SequenceRange>& ranges,
                                    std::uint64_t through) {
  for (const SequenceRange& range : ranges) {
    if (range.first <= through) remove({range.first, std::min(range.last, through)});
  }
}

std::uint64_t SequenceRanges::missing_from(SequenceRange range) const {
  std::uint64_t missing = range.count();
  for (const SequenceRange& each : ranges_) {
    const std::uint64_t first = std::max(each.first, range.first);
    const std::uint64_t last = std::min(each.last, range.last);
    if (first <= last) missing -= last - first + 1;
  }
  return missing;
}

}  // namespace log_aggregator
