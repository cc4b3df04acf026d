#include "src/base/time_text.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>

namespace log_aggregator {
namespace {

std::string text(std::int64_t unix_microseconds) {
  char out[kTimestampLength];
  format_timestamp(unix_microseconds, out);
  return {out, kTimestampLength};
}

constexpr std::int64_t kSecond = 1'000'000;
constexpr std::int64_t kDay = 86'400 * kSecond;

TEST(TimeTextTest, is_iso_8601_with_microseconds) {
  EXPECT_EQ(text(1'743'062'571'123'456), "2025-03-27T08:02:51.123456+00:00");
  EXPECT_EQ(text(0), "1970-01-01T00:00:00.000000+00:00");
  EXPECT_EQ(text(7), "1970-01-01T00:00:00.000007+00:00");
}

TEST(TimeTextTest, times_before_the_epoch_count_backward_from_it) {
  EXPECT_EQ(text(-1), "1969-12-31T23:59:59.999999+00:00");
  EXPECT_EQ(text(-kSecond), "1969-12-31T23:59:59.000000+00:00");
  EXPECT_EQ(text(-kDay), "1969-12-31T00:00:00.000000+00:00");
}

TEST(TimeTextTest, knows_leap_years) {
  EXPECT_EQ(text(1'709'164'800 * kSecond), "2024-02-29T00:00:00.000000+00:00");
  EXPECT_EQ(text(951'782'400 * kSecond), "2000-02-29T00:00:00.000000+00:00");
  EXPECT_EQ(text(4'107'542'400 * kSecond), "2100-03-01T00:00:00.000000+00:00");
  EXPECT_EQ(text(4'107'542'400 * kSecond - 1), "2100-02-28T23:59:59.999999+00:00");
}

TEST(TimeTextTest, years_are_clamped_to_four_digits) {
  EXPECT_EQ(text(253'402'300'799 * kSecond), "9999-12-31T23:59:59.000000+00:00");
  EXPECT_EQ(text(253'402'300'800 * kSecond).substr(0, 19), "9999-12-31T23:59:59");
  EXPECT_EQ(text(-62'135'596'800 * kSecond), "0001-01-01T00:00:00.000000+00:00");
  EXPECT_EQ(text(-62'135'596'801 * kSecond).substr(0, 19), "0001-01-01T00:00:00");
  EXPECT_EQ(text(std::numeric_limits<std::int64_t>::max()).substr(0, 10), "9999-12-31");
  EXPECT_EQ(text(std::numeric_limits<std::int64_t>::min()).substr(0, 10), "0001-01-01");
}

TEST(TimeTextTest, microseconds_can_be_renewed_alone) {
  char out[kTimestampLength];
  format_timestamp(1'743'062'571'999'999, out);
  format_microseconds(42, out);
  EXPECT_EQ(std::string(out, kTimestampLength), "2025-03-27T08:02:51.000042+00:00");
}

}  // namespace
}  // namespace log_aggregator
