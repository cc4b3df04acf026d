#include "cli/terminal_text.h"

#include <gtest/gtest.h>

namespace log_aggregator::cli {
namespace {

using namespace std::string_view_literals;

TEST(Neutralised, LeavesTextAlone) {
  constexpr std::string_view kText = "größer ✓ 😀 日本 \\n \"x\"";
  EXPECT_EQ(neutralised(kText), kText);
  EXPECT_EQ(neutralised_json(kText), kText);
}

TEST(Neutralised, ShowsControlCharactersAsEscapes) {
  EXPECT_EQ(neutralised("a\nb\rc\td\x1b[31m\x7f\0"sv), "a\\nb\\rc\\td\\x1b[31m\\x7f\\x00");
  EXPECT_EQ(neutralised("\u0085\u009b"), "\\x85\\x9b");
}

TEST(Neutralised, ShowsMarksOfDirectionAsEscapes) {
  EXPECT_EQ(neutralised("\u061c\u200e\u200f\u2028\u202a\u202e\u2066\u2069"),
            "\\u061c\\u200e\\u200f\\u2028\\u202a\\u202e\\u2066\\u2069");
  EXPECT_EQ(neutralised("\u200d\u2030\u2070"), "\u200d\u2030\u2070");
}

TEST(Neutralised, ReplacesWhatIsNotUtf8) {
  for (const std::string_view bad : {"\xff"sv, "\xc0"sv, "\x80"sv, "\xe2\x82"sv, "\xc3"sv}) {
    EXPECT_EQ(neutralised(bad).find(bad), std::string::npos);
    EXPECT_EQ(neutralised(bad).substr(0, 3), "\ufffd");
  }
  EXPECT_EQ(neutralised("\x9b"), "\ufffd");  // a control character of 8-bit terminals
}

TEST(NeutralisedJson, StaysTheSameJson) {
  EXPECT_EQ(neutralised_json("{\n\t\"a\" :\r\"\u202e\u009b\x7f\\n\"}"),
            "{  \"a\" : \"\\u202e\\u009b\\u007f\\n\"}");
}

}  // namespace
}  // namespace log_aggregator::cli
