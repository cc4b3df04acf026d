#include "src/deliver/effort.h"

#include <gtest/gtest.h>

namespace log_aggregator {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class EffortTest : public ::testing::TestWithParam<Compression> {
 protected:
  // A batch of a megabyte that takes so long to compress and so long to be sent.
  void batch(milliseconds compressing, milliseconds sending, bool behind) {
    effort_.consider(behind, now_);
    effort_.spent(1 << 20, effort_.strength() == Strength::none ? milliseconds(0) : compressing);
    effort_.waited(sending);
    now_ += compressing + sending;
  }
  void batches(int count, milliseconds compressing, milliseconds sending, bool behind) {
    for (int i = 0; i < count; ++i) batch(compressing, sending, behind);
  }
  Strength strength() const { return effort_.strength(); }
  static constexpr bool kBehind = true;
  static constexpr bool kKeepsUp = false;

  Clock::TimePoint now_{seconds(100)};
  Effort effort_{GetParam()};
};

class AutomaticEffortTest : public EffortTest {};

TEST_P(EffortTest, is_the_usual_where_delivery_keeps_up) {
  batches(1'000, milliseconds(10), milliseconds(1), kKeepsUp);
  EXPECT_EQ(strength(), Strength::usual);
}

TEST_P(EffortTest, is_the_usual_where_the_network_is_what_delivery_waits_for) {
  batches(1'000, milliseconds(10), milliseconds(11), kBehind);
  EXPECT_EQ(strength(), Strength::usual);
}

TEST_P(EffortTest, is_less_where_compression_is_what_delivery_waits_for) {
  batches(4, milliseconds(10), milliseconds(9), kBehind);
  EXPECT_EQ(strength(), Strength::usual);
  batches(1, milliseconds(10), milliseconds(9), kBehind);
  EXPECT_EQ(strength(), Strength::fast);
}

TEST_P(EffortTest, a_short_burst_changes_nothing) {
  batches(4, milliseconds(10), milliseconds(1), kBehind);
  batches(100, milliseconds(10), milliseconds(1), kKeepsUp);
  EXPECT_EQ(strength(), Strength::usual);
}

TEST_P(AutomaticEffortTest, ends_at_none_and_stays_there_while_there_is_no_time_for_more) {
  batches(9, milliseconds(10), milliseconds(1), kBehind);
  EXPECT_EQ(strength(), Strength::none);
  batches(2'000, milliseconds(0), milliseconds(19), kKeepsUp);
  EXPECT_EQ(strength(), Strength::none) << "compressing takes 10 ms of them";
}

TEST_P(AutomaticEffortTest, rises_again_where_there_is_time) {
  batches(9, milliseconds(10), milliseconds(1), kBehind);
  batches(50, milliseconds(0), milliseconds(21), kBehind);
  EXPECT_EQ(strength(), Strength::fast) << "within about a second";
  batches(50, milliseconds(10), milliseconds(21), kBehind);
  EXPECT_EQ(strength(), Strength::usual);
}

TEST_P(EffortTest, of_a_compression_that_was_asked_for_is_never_none) {
  if (GetParam() == Compression::automatic) return;
  batches(100, milliseconds(10), milliseconds(1), kBehind);
  EXPECT_EQ(strength(), Strength::fast);
}

INSTANTIATE_TEST_SUITE_P(all, EffortTest,
                         ::testing::Values(Compression::automatic, Compression::zstd,
                                           Compression::gzip));
INSTANTIATE_TEST_SUITE_P(all, AutomaticEffortTest, ::testing::Values(Compression::automatic));

}  // namespace
}  // namespace log_aggregator
