#include "collector/store/interval_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <set>

namespace log_aggregator::collector {
namespace {

using testing::ElementsAre;

IntervalSet set_of(std::initializer_list<Interval> intervals) {
  IntervalSet set;
  for (const Interval& each : intervals) set.add(each);
  return set;
}

TEST(IntervalSet, KeepsIntervalsApartInAscendingOrder) {
  EXPECT_THAT(set_of({{10, 12}, {1, 2}, {5, 5}}).intervals(),
              ElementsAre(Interval{1, 2}, Interval{5, 5}, Interval{10, 12}));
}

TEST(IntervalSet, JoinsWhatTouches) {
  EXPECT_THAT(set_of({{1, 2}, {5, 6}, {3, 4}}).intervals(), ElementsAre(Interval{1, 6}));
}

TEST(IntervalSet, JoinsWhatOverlaps) {
  EXPECT_THAT(set_of({{1, 4}, {8, 9}, {12, 15}, {3, 13}}).intervals(),
              ElementsAre(Interval{1, 15}));
}

TEST(IntervalSet, TakesTheSameTwice) {
  EXPECT_THAT(set_of({{3, 5}, {3, 5}, {4, 4}}).intervals(), ElementsAre(Interval{3, 5}));
}

TEST(IntervalSet, WorksAtBothEndsOfTheNumbers) {
  const IntervalSet set = set_of({{0, 0}, {kMaxSequence, kMaxSequence}});
  EXPECT_TRUE(set.contains(0));
  EXPECT_FALSE(set.contains(1));
  EXPECT_TRUE(set.contains(kMaxSequence));
  EXPECT_FALSE(set.contains(kMaxSequence - 1));
}

TEST(IntervalSet, BehavesAsASetOfNumbers) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  for (int round = 0; round < 200; ++round) {
    IntervalSet set;
    std::set<std::uint64_t> model;
    for (int step = 0; step < 30; ++step) {
      const std::uint64_t first = random() % 100;
      const std::uint64_t last = first + random() % 8;
      set.add({first, last});
      for (auto number = first; number <= last; ++number) model.insert(number);
    }
    for (std::uint64_t number = 0; number < 110; ++number) {
      ASSERT_EQ(set.contains(number), model.count(number) == 1) << number;
    }
    ASSERT_EQ(count_numbers(set.intervals()), model.size());
    for (std::size_t i = 1; i < set.intervals().size(); ++i) {
      ASSERT_GT(set.intervals()[i].first, set.intervals()[i - 1].last + 1);
    }
  }
}

TEST(ParseIntervals, ReadsRangesAndSingleNumbers) {
  const auto parsed = parse_intervals("17-40,42, 50-60");
  ASSERT_TRUE(parsed.ok());
  EXPECT_THAT(parsed.value(), ElementsAre(Interval{17, 40}, Interval{42, 42}, Interval{50, 60}));
  EXPECT_EQ(count_numbers(parsed.value()), 24 + 1 + 11);
}

TEST(ParseIntervals, RefusesWhatIsMalformedDescendingOrOverlapping) {
  for (const char* wrong : {"", ",", "1,", "a", "1-", "-1", "1-2-3", "1 2", "2-1", "1-3,3", "5,4",
                            "0x1", "9223372036854775807", "18446744073709551616", "1-2\n"}) {
    EXPECT_FALSE(parse_intervals(wrong).ok()) << wrong;
  }
}

TEST(ParseIntervals, CountsTheLargestRangeWithoutOverflow) {
  const auto parsed = parse_intervals("0-9223372036854775806");
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(count_numbers(parsed.value()), kMaxSequence + 1);
}

}  // namespace
}  // namespace log_aggregator::collector
