// find_gaps: which numbers of a journal never came, and which its sender gave up.

#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "src/base/sequence_ranges.h"

namespace log_aggregator::collector {

struct Gaps {
  std::uint64_t stored = 0;  // how many numbers are
  std::uint64_t last = 0;    // the highest that is stored or given up
  // Numbers below `last` that are neither, and those given up that are not stored after all. The
  // counts are exact; of the ranges only the first are kept where `truncated`.
  std::vector<SequenceRange> missing;
  std::vector<SequenceRange> skipped;
  std::uint64_t missing_count = 0;
  std::uint64_t skipped_count = 0;
  bool truncated = false;

  bool any() const { return missing_count + skipped_count > 0; }
};

// Gives the intervals of a set in ascending order, then nothing.
using IntervalSource = std::function<std::optional<SequenceRange>()>;

// Journals count from 1; one that has a number 0 counts from there. Keeps at most `max_ranges` of
// each kind, however many intervals there are.
Gaps find_gaps(const IntervalSource& stored, const IntervalSource& skipped, std::size_t max_ranges);

}  // namespace log_aggregator::collector
