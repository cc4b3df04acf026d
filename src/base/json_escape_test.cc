#include "src/base/json_escape.h"

#include <gtest/gtest.h>

#include <string>

#include "src/testing/seed.h"

namespace log_aggregator {
namespace {

std::string escape_with(const JsonEscaper& escaper, std::string_view text) {
  std::string out(escaped_room(text.size()), '#');
  out.resize(static_cast<std::size_t>(escaper.write(out.data(), text) - out.data()));
  return out;
}

// What each of these becomes, wherever it stands.
struct Piece {
  std::string_view text;
  std::string_view escaped;
};
constexpr Piece kPieces[] = {
    {"a", "a"},
    {" ", " "},
    {"\x7F", "\x7F"},
    {"\"", "\\\""},
    {"\\", "\\\\"},
    {"\n", "\\n"},
    {"\t", "\\t"},
    {std::string_view("\0", 1), "\\u0000"},
    {"\x1F", "\\u001f"},
    {"\xC3\xA9", "\xC3\xA9"},
    {"\xE2\x82\xAC", "\xE2\x82\xAC"},
    {"\xF0\x9F\x98\x80", "\xF0\x9F\x98\x80"},
    {"\xED\xA0\x80", "\xEF\xBF\xBD"},  // a surrogate
    {"\xFF", "\xEF\xBF\xBD"},
    {"\x80", "\xEF\xBF\xBD"},
};

class JsonEscapeTest : public ::testing::TestWithParam<JsonEscaper> {};

TEST_P(JsonEscapeTest, every_piece_is_escaped_at_every_place_of_texts_of_every_length) {
  for (const Piece& piece : kPieces) {
    for (std::size_t length = 0; length < 80; ++length) {
      for (std::size_t at = 0; at <= length; ++at) {
        const std::string before(at, 'x');
        const std::string after(length - at, 'y');
        ASSERT_EQ(escape_with(GetParam(), before + std::string(piece.text) + after),
                  before + std::string(piece.escaped) + after)
            << at << " of " << length;
      }
    }
  }
}

TEST_P(JsonEscapeTest, random_mixtures_become_what_their_pieces_become) {
  testing::Random random;
  for (int round = 0; round < 2'000; ++round) {
    std::string text;
    std::string expected;
    const std::size_t pieces = random.below(200);
    for (std::size_t i = 0; i < pieces; ++i) {
      const Piece& piece = kPieces[random.one_in(3) ? random.below(std::size(kPieces)) : 0];
      // A stray byte right behind a lead byte's character is still stray: pieces do not mix.
      text += piece.text;
      expected += piece.escaped;
    }
    ASSERT_EQ(escape_with(GetParam(), text), expected);
  }
}

TEST_P(JsonEscapeTest, a_character_that_the_end_cuts_off_is_replaced) {
  const std::string before(61, 'x');
  EXPECT_EQ(escape_with(GetParam(), before + "\xE2\x82"), before + "\xEF\xBF\xBD\xEF\xBF\xBD");
}

INSTANTIATE_TEST_SUITE_P(lanes, JsonEscapeTest, ::testing::ValuesIn(json_escapers()),
                         [](const auto& tested) {
                           return "of_" + std::to_string(tested.param.lane_bytes) + "_bytes";
                         });

}  // namespace
}  // namespace log_aggregator
