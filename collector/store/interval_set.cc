#include "collector/store/interval_set.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <system_error>

namespace log_aggregator::collector {

namespace {

// Takes a number off the front of `text`.
std::optional<std::uint64_t> take_number(std::string_view& text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || number > kMaxSequence) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return number;
}

std::optional<Interval> parse_interval(std::string_view text) {
  const auto first = take_number(text);
  if (!first) return std::nullopt;
  if (text.empty()) return Interval{*first, *first};
  if (text.front() != '-') return std::nullopt;
  text.remove_prefix(1);
  const auto last = take_number(text);
  if (!last || !text.empty() || *last < *first) return std::nullopt;
  return Interval{*first, *last};
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

}  // namespace

void IntervalSet::add(Interval interval) {
  // [from, to) are those that overlap or touch the new one: all become one.
  const auto from =
      std::partition_point(intervals_.begin(), intervals_.end(), [&](const Interval& each) {
        return each.last < interval.first && interval.first - each.last > 1;
      });
  auto to = from;
  for (; to != intervals_.end() && (to->first <= interval.last || to->first - interval.last == 1);
       ++to) {
    interval.first = std::min(interval.first, to->first);
    interval.last = std::max(interval.last, to->last);
  }
  if (from == to) {
    intervals_.insert(from, interval);
  } else {
    *from = interval;
    intervals_.erase(from + 1, to);
  }
}

bool IntervalSet::contains(std::uint64_t number) const {
  const auto found = std::partition_point(intervals_.begin(), intervals_.end(),
                                          [&](const Interval& each) { return each.last < number; });
  return found != intervals_.end() && found->first <= number;
}

Result<std::vector<Interval>> parse_intervals(std::string_view text) {
  std::vector<Interval> intervals;
  while (true) {
    const auto comma = text.find(',');
    const auto interval = parse_interval(trim(text.substr(0, comma)));
    if (!interval) {
      return Status::invalid_argument("must be ranges of sequence numbers such as 17-40,42-60");
    }
    if (!intervals.empty() && interval->first <= intervals.back().last) {
      return Status::invalid_argument("ranges must ascend and not overlap");
    }
    intervals.push_back(*interval);
    if (comma == std::string_view::npos) return intervals;
    text.remove_prefix(comma + 1);
  }
}

std::uint64_t count_numbers(const std::vector<Interval>& intervals) {
  std::uint64_t count = 0;
  for (const Interval& each : intervals) count += each.last - each.first + 1;
  return count;
}

}  // namespace log_aggregator::collector
