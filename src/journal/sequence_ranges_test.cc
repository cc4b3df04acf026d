#include "src/journal/sequence_ranges.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace log_aggregator {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

SequenceRange range(std::uint64_t first, std::uint64_t last) { return {first, last}; }

TEST(SequenceRangesTest, ranges_that_touch_or_overlap_become_one) {
  SequenceRanges set;
  set.add(range(10, 12));
  set.add(range(1, 2));
  set.add(range(20, 20));
  EXPECT_THAT(set.ranges(), ElementsAre(range(1, 2), range(10, 12), range(20, 20)));
  set.add(range(3, 9));
  EXPECT_THAT(set.ranges(), ElementsAre(range(1, 12), range(20, 20)));
  set.add(range(5, 30));
  EXPECT_THAT(set.ranges(), ElementsAre(range(1, 30)));
}

TEST(SequenceRangesTest, the_middle_of_a_range_can_be_removed) {
  SequenceRanges set;
  set.add(range(1, 10));
  set.remove(range(4, 6));
  EXPECT_THAT(set.ranges(), ElementsAre(range(1, 3), range(7, 10)));
  set.remove(range(3, 7));
  EXPECT_THAT(set.ranges(), ElementsAre(range(1, 2), range(8, 10)));
  set.remove(range(0, 100));
  EXPECT_THAT(set.ranges(), IsEmpty());
}

TEST(SequenceRangesTest, what_is_above_a_number_can_be_kept) {
  SequenceRanges set;
  set.add(range(1, 4));
  set.add(range(8, 12));
  set.remove_through({range(1, 4), range(8, 12)}, 9);
  EXPECT_THAT(set.ranges(), ElementsAre(range(10, 12)));
}

TEST(SequenceRangesTest, it_knows_how_much_of_a_range_is_not_in_it) {
  SequenceRanges set;
  EXPECT_EQ(set.missing_from(range(5, 9)), 5U);
  set.add(range(1, 5));
  set.add(range(7, 7));
  EXPECT_EQ(set.missing_from(range(5, 9)), 3U);
  EXPECT_EQ(set.missing_from(range(2, 4)), 0U);
}

}  // namespace
}  // namespace log_aggregator
