#include "src/base/same_text.h"

#include <gtest/gtest.h>

#include <string>

namespace log_aggregator {
namespace {

TEST(SameTextTest, texts_of_every_length_are_the_same_as_their_copies) {
  for (std::size_t length = 0; length < 40; ++length) {
    const std::string text(length, 'x');
    EXPECT_TRUE(same_text(text, std::string(text))) << length;
  }
}

TEST(SameTextTest, one_byte_makes_a_difference_wherever_it_stands) {
  for (std::size_t length = 1; length < 40; ++length) {
    for (std::size_t at = 0; at < length; ++at) {
      const std::string text(length, 'x');
      std::string other = text;
      other[at] = '\0';
      EXPECT_FALSE(same_text(text, other)) << at << " of " << length;
    }
  }
}

TEST(SameTextTest, a_beginning_is_another_text) {
  for (std::size_t length = 0; length < 40; ++length) {
    const std::string text(length + 1, 'x');
    EXPECT_FALSE(same_text(text, std::string_view(text).substr(0, length))) << length;
  }
}

}  // namespace
}  // namespace log_aggregator
