#include "src/base/sequence_ranges.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <system_error>

namespace log_aggregator {
namespace {

// Takes a number off the front of `text`.
std::optional<std::uint64_t> take_number(std::string_view& text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || number > kMaxSequence) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return number;
}

std::optional<SequenceRange> parse_range(std::string_view text) {
  const auto first = take_number(text);
  if (!first) return std::nullopt;
  if (text.empty()) return SequenceRange{*first, *first};
  if (text.front() != '-') return std::nullopt;
  text.remove_prefix(1);
  const auto last = take_number(text);
  if (!last || !text.empty() || *last < *first) return std::nullopt;
  return SequenceRange{*first, *last};
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

}  // namespace

void SequenceRanges::add(SequenceRange range) {
  // [from, to) are those that overlap or touch the new one: all become one.
  const auto from =
      std::partition_point(ranges_.begin(), ranges_.end(),
                           [&](const SequenceRange& each) { return each.last + 1 < range.first; });
  auto to = from;
  for (; to != ranges_.end() && to->first <= range.last + 1; ++to) {
    range.first = std::min(range.first, to->first);
    range.last = std::max(range.last, to->last);
  }
  if (from == to) {
    ranges_.insert(from, range);
  } else {
    *from = range;
    ranges_.erase(from + 1, to);
  }
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

bool SequenceRanges::contains(std::uint64_t number) const {
  const auto found =
      std::partition_point(ranges_.begin(), ranges_.end(),
                           [&](const SequenceRange& each) { return each.last < number; });
  return found != ranges_.end() && found->first <= number;
}

std::uint64_t SequenceRanges::count_through(std::uint64_t through) const {
  std::uint64_t count = 0;
  for (const SequenceRange& each : ranges_) {
    if (each.first > through) break;
    count += SequenceRange{each.first, std::min(each.last, through)}.count();
  }
  return count;
}

std::uint64_t SequenceRanges::missing_from(SequenceRange range) const {
  const std::uint64_t after_first = count_through(range.last) - count_through(range.first);
  return range.count() - after_first - (contains(range.first) ? 1 : 0);
}

std::vector<SequenceRange> SequenceRanges::first(std::size_t most) const {
  return {ranges_.begin(),
          ranges_.begin() + static_cast<std::ptrdiff_t>(std::min(most, ranges_.size()))};
}

std::uint64_t count_numbers(const std::vector<SequenceRange>& ranges) {
  std::uint64_t count = 0;
  for (const SequenceRange& each : ranges) count += each.count();
  return count;
}

std::string range_text(const std::vector<SequenceRange>& ranges) {
  std::string text;
  for (const SequenceRange& range : ranges) {
    if (!text.empty()) text += ',';
    text += std::to_string(range.first) + '-' + std::to_string(range.last);
  }
  return text;
}

Result<std::vector<SequenceRange>> parse_ranges(std::string_view text) {
  std::vector<SequenceRange> ranges;
  while (true) {
    const auto comma = text.find(',');
    const auto range = parse_range(trim(text.substr(0, comma)));
    if (!range) {
      return Status::invalid_argument("must be ranges of sequence numbers such as 17-40,42-60");
    }
    if (!ranges.empty() && range->first <= ranges.back().last) {
      return Status::invalid_argument("ranges must ascend and not overlap");
    }
    ranges.push_back(*range);
    if (comma == std::string_view::npos) return ranges;
    text.remove_prefix(comma + 1);
  }
}

}  // namespace log_aggregator
