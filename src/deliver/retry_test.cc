#include "src/deliver/retry.h"

#include <gtest/gtest.h>

#include "src/testing/seed.h"

namespace log_aggregator {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

// ---- the wait

TEST(RetryWaitTest, doubles_from_retry_to_retry) {
  EXPECT_EQ(retry_wait(1, seconds(1), 0), seconds(1));
  EXPECT_EQ(retry_wait(2, seconds(1), 0), seconds(2));
  EXPECT_EQ(retry_wait(3, seconds(1), 0), seconds(4));
  EXPECT_EQ(retry_wait(5, seconds(1), 0), seconds(16));
}

TEST(RetryWaitTest, is_at_most_thirty_seconds_before_chance) {
  EXPECT_EQ(retry_wait(6, seconds(1), 0), seconds(30));
  EXPECT_EQ(retry_wait(1'000'000, seconds(1), 0), seconds(30));
}

TEST(RetryWaitTest, is_never_less_than_the_delay) {
  EXPECT_EQ(retry_wait(1, minutes(2), 0), minutes(2));
  EXPECT_EQ(retry_wait(7, minutes(2), 0), minutes(2));
}

TEST(RetryWaitTest, chance_adds_up_to_half) {
  EXPECT_EQ(retry_wait(1, seconds(1), 0.5), milliseconds(1'250));
  EXPECT_LE(retry_wait(1, seconds(1), 0.999'999), milliseconds(1'500));
  EXPECT_LE(retry_wait(9, seconds(1), 1.0), seconds(45));
}

TEST(RetryWaitTest, no_delay_is_no_wait) {
  EXPECT_EQ(retry_wait(1, milliseconds(0), 0.7), milliseconds(0));
  EXPECT_EQ(retry_wait(1'000, milliseconds(0), 0.7), milliseconds(0));
}

TEST(RetryWaitTest, the_longest_delay_does_not_overflow) {
  const milliseconds year = std::chrono::hours(24 * 365);
  EXPECT_GE(retry_wait(100, year, 1.0), year);
}

// ---- Retry-After

class RetryAfterTest : public ::testing::Test {
 protected:
  std::optional<milliseconds> parsed(const std::string& value) const {
    return parse_retry_after(value, now_);
  }
  // Sun, 06 Nov 1994 08:49:37 GMT, the date of RFC 9110's examples.
  const std::chrono::system_clock::time_point now_ =
      std::chrono::system_clock::from_time_t(784'111'777);
};

TEST_F(RetryAfterTest, seconds_are_understood) {
  EXPECT_EQ(parsed("0"), seconds(0));
  EXPECT_EQ(parsed("17"), seconds(17));
  EXPECT_EQ(parsed("0017"), seconds(17));
}

TEST_F(RetryAfterTest, an_http_date_is_understood_in_its_three_forms) {
  EXPECT_EQ(parsed("Sun, 06 Nov 1994 08:50:37 GMT"), seconds(60));
  EXPECT_EQ(parsed("Sunday, 06-Nov-94 08:50:37 GMT"), seconds(60));
  EXPECT_EQ(parsed("Sun Nov  6 08:50:37 1994"), seconds(60));
}

TEST_F(RetryAfterTest, a_past_date_is_now) {
  EXPECT_EQ(parsed("Sun, 06 Nov 1994 08:00:00 GMT"), seconds(0));
}

TEST_F(RetryAfterTest, what_is_too_long_is_five_minutes) {
  EXPECT_EQ(parsed("301"), minutes(5));
  EXPECT_EQ(parsed("1000000000"), minutes(5));
  EXPECT_EQ(parsed("99999999999999999999999999"), minutes(5));
  EXPECT_EQ(parsed("Sun, 06 Nov 2094 08:49:37 GMT"), minutes(5));
}

TEST_F(RetryAfterTest, what_is_neither_says_nothing) {
  for (const std::string value :
       {"", "-1", "NaN", "inf", "soon", "1e3", "0x10", "+5", "1 2", ";"}) {
    EXPECT_EQ(parsed(value), std::nullopt) << value;
  }
}

TEST_F(RetryAfterTest, any_bytes_make_nothing_or_at_most_five_minutes) {
  testing::Random random;
  const std::string date = "Sun, 06 Nov 1994 08:50:37 GMT";
  for (int i = 0; i < 20'000; ++i) {
    std::string value = random.one_in(3) ? random.bytes(random.below(30)) : date;
    for (std::uint64_t n = random.below(4); n > 0 && !value.empty(); --n) {
      value[random.below(value.size())] = static_cast<char>('0' + random.below(75));
    }
    const auto wait = parsed(value);
    if (!wait) continue;
    ASSERT_GE(*wait, seconds(0)) << value;
    ASSERT_LE(*wait, minutes(5)) << value;
  }
}

}  // namespace
}  // namespace log_aggregator
