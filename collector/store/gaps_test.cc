#include "collector/store/gaps.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "src/testing/seed.h"

namespace log_aggregator::collector {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

IntervalSource source_of(const std::vector<SequenceRange>& intervals) {
  return [intervals, next = std::size_t{0}]() mutable -> std::optional<SequenceRange> {
    if (next == intervals.size()) return std::nullopt;
    return intervals[next++];
  };
}

Gaps find(const std::vector<SequenceRange>& stored, const std::vector<SequenceRange>& skipped,
          std::size_t max_ranges = 100) {
  return find_gaps(source_of(stored), source_of(skipped), max_ranges);
}

TEST(FindGaps, AJournalOfWhichNothingIsKnownHasNone) {
  const Gaps gaps = find({}, {});
  EXPECT_FALSE(gaps.any());
  EXPECT_EQ(gaps.stored, 0);
  EXPECT_EQ(gaps.last, 0);
}

TEST(FindGaps, AJournalWithoutHolesHasNoneWhetherItBeginsAtOneOrAtZero) {
  EXPECT_FALSE(find({{1, 40}}, {}).any());
  const Gaps from_zero = find({{0, 40}}, {});
  EXPECT_FALSE(from_zero.any());
  EXPECT_EQ(from_zero.stored, 41);
  EXPECT_EQ(from_zero.last, 40);
}

TEST(FindGaps, WhatIsBeforeBetweenIsMissingAndWhatIsBehindIsNot) {
  const Gaps gaps = find({{3, 5}, {9, 9}}, {});
  EXPECT_THAT(gaps.missing, ElementsAre(SequenceRange{1, 2}, SequenceRange{6, 8}));
  EXPECT_EQ(gaps.missing_count, 5);
  EXPECT_EQ(gaps.stored, 4);
  EXPECT_EQ(gaps.last, 9);
}

TEST(FindGaps, WhatWasGivenUpIsNotMissing) {
  const Gaps gaps = find({{1, 5}, {12, 12}}, {{6, 8}, {10, 10}});
  EXPECT_THAT(gaps.missing, ElementsAre(SequenceRange{9, 9}, SequenceRange{11, 11}));
  EXPECT_THAT(gaps.skipped, ElementsAre(SequenceRange{6, 8}, SequenceRange{10, 10}));
  EXPECT_EQ(gaps.skipped_count, 4);
}

TEST(FindGaps, WhatWasGivenUpBehindTheLastStoredIsTheHighestKnown) {
  const Gaps gaps = find({{1, 5}}, {{8, 9}});
  EXPECT_THAT(gaps.missing, ElementsAre(SequenceRange{6, 7}));
  EXPECT_EQ(gaps.last, 9);
}

TEST(FindGaps, WhatIsStoredAndGivenUpCountsAsStored) {
  const Gaps gaps = find({{3, 4}, {7, 8}}, {{1, 10}});
  EXPECT_THAT(gaps.skipped,
              ElementsAre(SequenceRange{1, 2}, SequenceRange{5, 6}, SequenceRange{9, 10}));
  EXPECT_THAT(gaps.missing, IsEmpty());
  EXPECT_FALSE(find({{1, 10}}, {{3, 4}}).any());
}

TEST(FindGaps, NamesOnlyTheFirstRangesAndCountsAll) {
  const Gaps gaps = find({{2, 2}, {4, 4}, {6, 6}}, {{8, 8}}, 2);
  EXPECT_THAT(gaps.missing, ElementsAre(SequenceRange{1, 1}, SequenceRange{3, 3}));
  EXPECT_EQ(gaps.missing_count, 4);
  EXPECT_THAT(gaps.skipped, ElementsAre(SequenceRange{8, 8}));
  EXPECT_TRUE(gaps.truncated);
  EXPECT_FALSE(find({{2, 2}, {4, 4}}, {}, 2).truncated);
}

TEST(FindGaps, WorksAtBothEndsOfTheNumbers) {
  const Gaps gaps = find({{kMaxSequence, kMaxSequence}}, {{0, 0}});
  EXPECT_THAT(gaps.skipped, ElementsAre(SequenceRange{0, 0}));
  EXPECT_THAT(gaps.missing, ElementsAre(SequenceRange{1, kMaxSequence - 1}));
  EXPECT_EQ(gaps.last, kMaxSequence);
  EXPECT_EQ(find({}, {{0, kMaxSequence}}).skipped_count, kMaxSequence + 1);
}

TEST(FindGaps, PutsEveryNumberWhereAModelPutsIt) {
  log_aggregator::testing::Random random;
  for (int round = 0; round < 500; ++round) {
    constexpr std::uint64_t kNumbers = 60;
    SequenceRanges stored;
    SequenceRanges skipped;
    for (std::uint64_t i = random.below(8); i > 0; --i) {
      const std::uint64_t first = 1 + random.below(kNumbers);
      (random.one_in(2) ? stored : skipped).add({first, first + random.below(6)});
    }
    std::uint64_t last = 0;
    for (const auto* set : {&stored, &skipped}) {
      if (!set->ranges().empty()) last = std::max(last, set->ranges().back().last);
    }
    const Gaps gaps = find(stored.ranges(), skipped.ranges());
    SequenceRanges missing;
    SequenceRanges given_up;
    for (const SequenceRange& each : gaps.missing) missing.add(each);
    for (const SequenceRange& each : gaps.skipped) given_up.add(each);
    ASSERT_EQ(gaps.last, last);
    ASSERT_EQ(gaps.stored, count_numbers(stored.ranges()));
    ASSERT_EQ(gaps.missing_count, count_numbers(missing.ranges()));
    ASSERT_EQ(gaps.skipped_count, count_numbers(given_up.ranges()));
    for (std::uint64_t number = 1; number <= last; ++number) {
      const bool have = stored.contains(number);
      ASSERT_EQ(given_up.contains(number), !have && skipped.contains(number)) << number;
      ASSERT_EQ(missing.contains(number), !have && !skipped.contains(number)) << number;
    }
  }
}

}  // namespace
}  // namespace log_aggregator::collector
