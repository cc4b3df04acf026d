#include "collector/timestamp.h"

#include <gtest/gtest.h>

namespace log_aggregator::collector {
namespace {

constexpr std::int64_t kSecondUs = 1'000'000;
constexpr std::int64_t kExample = 1'743'062'571 * kSecondUs;  // 2025-03-27T08:02:51Z

TEST(Timestamp, ReadsWhatPythonWrites) {
  EXPECT_EQ(parse_timestamp("2025-03-27T08:02:51.123456+00:00"), kExample + 123'456);
  EXPECT_EQ(parse_timestamp("2025-03-27T08:02:51+00:00"), kExample);
  EXPECT_EQ(parse_timestamp("1970-01-01T00:00:00Z"), 0);
  EXPECT_EQ(parse_timestamp("1969-12-31T23:59:59.5Z"), -kSecondUs / 2);
}

TEST(Timestamp, ReadsOtherFormsOfIso8601) {
  for (const char* same :
       {"2025-03-27T08:02:51Z", "2025-03-27t08:02:51z", "2025-03-27 08:02:51Z",
        "2025-03-27T10:02:51+02:00", "2025-03-27T10:02:51+0200", "2025-03-27T10:02:51+02",
        "2025-03-27T02:32:51-05:30", "2025-03-26T23:02:51-09:00", "2025-03-27T08:02:51.0Z",
        "2025-03-27T08:02:51,000Z", "2025-03-27T08:02:51.0000000009Z"}) {
    EXPECT_EQ(parse_timestamp(same), kExample) << same;
  }
  EXPECT_EQ(parse_timestamp("2025-03-27T08:02Z"), kExample - 51 * kSecondUs);
}

TEST(Timestamp, CutsWhatIsFinerThanAMicrosecond) {
  EXPECT_EQ(parse_timestamp("2025-03-27T08:02:51.123456999Z"), kExample + 123'456);
}

TEST(Timestamp, KnowsTheCalendar) {
  EXPECT_TRUE(parse_timestamp("2024-02-29T00:00:00Z"));
  EXPECT_FALSE(parse_timestamp("2025-02-29T00:00:00Z"));
  EXPECT_TRUE(parse_timestamp("2016-12-31T23:59:60Z"));  // a leap second
}

TEST(Timestamp, KnowsTheYearsThatCanBeWritten) {
  for (const char* edge : {"0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"}) {
    const auto time_us = parse_timestamp(edge);
    ASSERT_TRUE(time_us) << edge;
    EXPECT_EQ(parse_timestamp(timestamp_text(*time_us)), time_us);
  }
  for (const char* beyond : {"0000-12-31T23:59:59Z", "0001-01-01T00:00:00+00:01",
                             "9999-12-31T23:59:60Z", "9999-12-31T23:59:59-00:01"}) {
    EXPECT_FALSE(parse_timestamp(beyond)) << beyond;
  }
}

TEST(Timestamp, RefusesEverythingElse) {
  for (const char* wrong : {"",
                            "now",
                            "2025-03-27",
                            "2025-03-27T08:02:51",
                            "2025-03-27T08:02:51 Z",
                            "2025-03-27T08:02:51.Z",
                            "2025-03-27T24:00:00Z",
                            "2025-03-27T08:60:00Z",
                            "2025-03-27T08:02:61Z",
                            "2025-13-01T00:00:00Z",
                            "2025-00-01T00:00:00Z",
                            "2025-01-00T00:00:00Z",
                            "25-03-27T08:02:51Z",
                            "2025-3-27T08:02:51Z",
                            "2025-03-27T08:02:51+",
                            "2025-03-27T08:02:51+2",
                            "2025-03-27T08:02:51+24:00",
                            "2025-03-27T08:02:51+02:60",
                            "2025-03-27T08:02:51+02:",
                            "2025-03-27T08:02:51+02:00x",
                            "2025-03-27T08:02:51Z ",
                            " 2025-03-27T08:02:51Z",
                            "-025-03-27T08:02:51Z",
                            "2025-03-27T08Z",
                            "1743062571"}) {
    EXPECT_FALSE(parse_timestamp(wrong)) << wrong;
  }
}

TEST(Timestamp, WritesWhatItReads) {
  for (const std::int64_t time_us : {std::int64_t{0}, kExample + 7, -kSecondUs}) {
    EXPECT_EQ(parse_timestamp(timestamp_text(time_us)), time_us);
  }
}

}  // namespace
}  // namespace log_aggregator::collector
