#include "src/base/fixed_text.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace log_aggregator {
namespace {

template <typename Write>
std::string written(std::size_t capacity, const Write& write) {
  std::string memory(capacity, '?');
  FixedText text(memory.data(), memory.size());
  write(text);
  return std::string(text.view());
}

TEST(FixedTextTest, numbers_are_written_in_base_ten_and_sixteen) {
  const std::string text = written(200, [](FixedText& out) {
    for (const std::int64_t number : {std::int64_t{0}, std::int64_t{-1}, INT64_MIN, INT64_MAX}) {
      out.number(number);
      out.append(" ");
    }
    out.number(UINT64_MAX);
    out.append(" ");
    out.hex(0);
    out.append(" ");
    out.hex(UINT64_MAX);
    out.append(" ");
    out.hex_bytes(std::string_view("\x00\x1f\xff", 3));
  });
  EXPECT_EQ(text,
            "0 -1 -9223372036854775808 9223372036854775807 18446744073709551615 0x0 "
            "0xffffffffffffffff 001fff");
}

TEST(FixedTextTest, what_does_not_fit_is_left_out_whole_and_known) {
  std::array<char, 5> memory{};
  FixedText text(memory.data(), memory.size());
  text.append("abc");
  EXPECT_FALSE(text.overflowed());
  text.append("def");
  EXPECT_TRUE(text.overflowed());
  EXPECT_EQ(text.view(), "abc");
  text.append("de");
  EXPECT_EQ(text.view(), "abcde");
}

TEST(FixedTextTest, text_is_escaped_as_json_has_it) {
  EXPECT_EQ(written(100, [](FixedText& out) { out.escaped("a\"b\nc\x01\xff"); }),
            "a\\\"b\\nc\\u0001\xEF\xBF\xBD");
}

TEST(FixedTextTest, long_text_is_escaped_in_pieces_that_split_no_character) {
  for (const std::string character : {"a", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"}) {
    std::string text(1, 'x');
    for (int i = 0; i < 100; ++i) text += character;
    EXPECT_EQ(written(1000, [&](FixedText& out) { out.escaped(text); }), text);
  }
  const std::string stray(100, '\x80');  // continuations of nothing
  EXPECT_EQ(written(1000, [&](FixedText& out) { out.escaped(stray); }).size(), 3 * stray.size());
}

TEST(FixedTextTest, escaped_text_that_does_not_fit_is_cut_and_is_no_overflow) {
  const std::string text(100, '"');
  for (std::size_t capacity = 0; capacity < 250; ++capacity) {
    std::string memory(capacity, '?');
    FixedText out(memory.data(), memory.size());
    out.escaped(text);
    EXPECT_FALSE(out.overflowed());
    EXPECT_EQ(out.view().size() % 2, 0U);
  }
  EXPECT_LE(written(500, [&](FixedText& out) { out.escaped(text, 90); }).size(), 90U);
}

}  // namespace
}  // namespace log_aggregator
