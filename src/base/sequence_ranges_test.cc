#include "src/base/sequence_ranges.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <set>

namespace log_aggregator {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

SequenceRange range(std::uint64_t first, std::uint64_t last) { return {first, last}; }

SequenceRanges set_of(std::initializer_list<SequenceRange> ranges) {
  SequenceRanges set;
  for (const SequenceRange& each : ranges) set.add(each);
  return set;
}

TEST(SequenceRangesTest, ranges_are_kept_apart_in_ascending_order) {
  EXPECT_THAT(set_of({{10, 12}, {1, 2}, {5, 5}}).ranges(),
              ElementsAre(range(1, 2), range(5, 5), range(10, 12)));
}

TEST(SequenceRangesTest, ranges_that_touch_or_overlap_become_one) {
  EXPECT_THAT(set_of({{1, 2}, {5, 6}, {3, 4}}).ranges(), ElementsAre(range(1, 6)));
  EXPECT_THAT(set_of({{1, 4}, {8, 9}, {12, 15}, {3, 13}}).ranges(), ElementsAre(range(1, 15)));
  EXPECT_THAT(set_of({{3, 5}, {3, 5}, {4, 4}}).ranges(), ElementsAre(range(3, 5)));
}

TEST(SequenceRangesTest, the_middle_of_a_range_can_be_removed) {
  SequenceRanges set = set_of({{1, 10}});
  set.remove(range(4, 6));
  EXPECT_THAT(set.ranges(), ElementsAre(range(1, 3), range(7, 10)));
  set.remove(range(3, 7));
  EXPECT_THAT(set.ranges(), ElementsAre(range(1, 2), range(8, 10)));
  set.remove(range(0, 100));
  EXPECT_THAT(set.ranges(), IsEmpty());
}

TEST(SequenceRangesTest, what_is_above_a_number_can_be_kept) {
  SequenceRanges set = set_of({{1, 4}, {8, 12}});
  set.remove_through({range(1, 4), range(8, 12)}, 9);
  EXPECT_THAT(set.ranges(), ElementsAre(range(10, 12)));
}

TEST(SequenceRangesTest, it_knows_how_much_of_a_range_is_not_in_it) {
  EXPECT_EQ(SequenceRanges().missing_from(range(5, 9)), 5U);
  const SequenceRanges set = set_of({{1, 5}, {7, 7}});
  EXPECT_EQ(set.missing_from(range(5, 9)), 3U);
  EXPECT_EQ(set.missing_from(range(2, 4)), 0U);
}

TEST(SequenceRangesTest, the_first_ranges_can_be_had_alone) {
  const SequenceRanges set = set_of({{1, 5}, {7, 7}, {9, 12}});
  EXPECT_THAT(set.first(2), ElementsAre(range(1, 5), range(7, 7)));
  EXPECT_THAT(set.first(9), ElementsAre(range(1, 5), range(7, 7), range(9, 12)));
  EXPECT_THAT(set.first(0), IsEmpty());
}

TEST(SequenceRangesTest, it_works_at_both_ends_of_the_numbers) {
  const SequenceRanges set = set_of({{0, 0}, {kMaxSequence, kMaxSequence}});
  EXPECT_TRUE(set.contains(0));
  EXPECT_FALSE(set.contains(1));
  EXPECT_TRUE(set.contains(kMaxSequence));
  EXPECT_FALSE(set.contains(kMaxSequence - 1));
  EXPECT_EQ(set.count_through(UINT64_MAX), 2U);
}

TEST(SequenceRangesTest, it_behaves_as_a_set_of_numbers) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  for (int round = 0; round < 200; ++round) {
    SequenceRanges set;
    std::set<std::uint64_t> model;
    for (int step = 0; step < 30; ++step) {
      const std::uint64_t first = random() % 100;
      const SequenceRange changed = range(first, first + random() % 8);
      const bool adds = random() % 4 != 0;
      adds ? set.add(changed) : set.remove(changed);
      for (auto number = changed.first; number <= changed.last; ++number) {
        if (adds) {
          model.insert(number);
        } else {
          model.erase(number);
        }
      }
    }
    const SequenceRange asked = range(random() % 60, 60 + random() % 60);
    const auto there = std::distance(model.lower_bound(asked.first), model.upper_bound(asked.last));
    ASSERT_EQ(set.missing_from(asked), asked.count() - static_cast<std::uint64_t>(there));
    std::uint64_t count = 0;
    for (std::uint64_t number = 0; number < 110; ++number) {
      count += model.count(number);
      ASSERT_EQ(set.contains(number), model.count(number) == 1) << number;
      ASSERT_EQ(set.count_through(number), count) << number;
    }
    ASSERT_EQ(count_numbers(set.ranges()), model.size());
    for (std::size_t i = 1; i < set.ranges().size(); ++i) {
      ASSERT_GT(set.ranges()[i].first, set.ranges()[i - 1].last + 1);
    }
  }
}

TEST(ParseRangesTest, ranges_and_single_numbers_are_read) {
  const auto parsed = parse_ranges("17-40,42, 50-60");
  ASSERT_TRUE(parsed.ok());
  EXPECT_THAT(parsed.value(), ElementsAre(range(17, 40), range(42, 42), range(50, 60)));
  EXPECT_EQ(count_numbers(parsed.value()), 24U + 1 + 11);
  EXPECT_EQ(range_text(parsed.value()), "17-40,42-42,50-60");
}

TEST(ParseRangesTest, what_is_malformed_descending_or_overlapping_is_refused) {
  for (const char* wrong : {"", ",", "1,", "a", "1-", "-1", "1-2-3", "1 2", "2-1", "1-3,3", "5,4",
                            "0x1", "9223372036854775807", "18446744073709551616", "1-2\n"}) {
    EXPECT_FALSE(parse_ranges(wrong).ok()) << wrong;
  }
}

TEST(ParseRangesTest, the_largest_range_is_counted_without_overflow) {
  const auto parsed = parse_ranges("0-9223372036854775806");
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(count_numbers(parsed.value()), kMaxSequence + 1);
}

}  // namespace
}  // namespace log_aggregator
