#include "collector/store/gaps.h"

#include <algorithm>
#include <limits>

namespace log_aggregator::collector {

namespace {

constexpr std::uint64_t kNone = std::numeric_limits<std::uint64_t>::max();

// The interval at hand of a source; of one that has ended, one that begins after all numbers.
class Reader {
 public:
  explicit Reader(const IntervalSource& source) : source_(source) { advance(); }

  // Leaves behind what ends below `number`.
  void seek(std::uint64_t number) {
    while (first() != kNone && last() < number) advance();
  }
  std::uint64_t first() const { return current_.first; }
  std::uint64_t last() const { return current_.last; }
  std::uint64_t taken() const { return taken_; }

 private:
  void advance() {
    const auto next = source_();
    current_ = next.value_or(SequenceRange{kNone, kNone});
    if (next) taken_ += next->last - next->first + 1;
  }

  const IntervalSource& source_;
  SequenceRange current_;
  std::uint64_t taken_ = 0;  // numbers of all intervals so far
};

void add_range(SequenceRange range, std::size_t max_ranges, std::vector<SequenceRange>& ranges,
               std::uint64_t& count, bool& truncated) {
  count += range.last - range.first + 1;
  if (ranges.size() < max_ranges) {
    ranges.push_back(range);
  } else {
    truncated = true;
  }
}

}  // namespace

Gaps find_gaps(const IntervalSource& stored, const IntervalSource& skipped,
               std::size_t max_ranges) {
  Gaps gaps;
  Reader have(stored);
  Reader given_up(skipped);
  // What is below `next` is accounted for.
  std::uint64_t next = std::min(have.first(), given_up.first()) == 0 ? 0 : 1;
  while (true) {
    have.seek(next);
    given_up.seek(next);
    const std::uint64_t known = std::min(have.first(), given_up.first());
    if (known == kNone) break;
    if (known > next) {
      add_range({next, known - 1}, max_ranges, gaps.missing, gaps.missing_count, gaps.truncated);
      next = known;
    }
    if (have.first() <= next) {
      next = have.last() + 1;
    } else {
      const std::uint64_t last = std::min(given_up.last(), have.first() - 1);
      add_range({next, last}, max_ranges, gaps.skipped, gaps.skipped_count, gaps.truncated);
      next = last + 1;
    }
  }
  gaps.stored = have.taken();
  gaps.last = next == 0 ? 0 : next - 1;
  return gaps;
}

}  // namespace log_aggregator::collector
