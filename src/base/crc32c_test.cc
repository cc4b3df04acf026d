// The code and not its header: a processor that has the instruction would leave the table untested.
#include "src/base/crc32c.cc"  // NOLINT(bugprone-suspicious-include)

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "src/testing/seed.h"

namespace log_aggregator {
namespace {

// The definition: the remainder of the division by the polynomial, bit by bit.
std::uint32_t by_definition(std::string_view bytes) {
  std::uint32_t crc = 0xFFFFFFFF;
  for (const char byte : bytes) {
    crc ^= static_cast<unsigned char>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82F63B78 : 0);
  }
  return ~crc;
}

std::string ascending() {
  std::string bytes;
  for (char c = 0; c < 32; ++c) bytes += c;
  return bytes;
}

TEST(Crc32c, has_the_values_of_rfc_3720) {
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAU);
  EXPECT_EQ(crc32c(std::string(32, '\xFF')), 0x62A8AB43U);
  EXPECT_EQ(crc32c(ascending()), 0x46DD794EU);
  const std::string all = ascending();
  EXPECT_EQ(crc32c(std::string(all.rbegin(), all.rend())), 0x113FDB5CU);
  EXPECT_EQ(crc32c("123456789"), 0xE3069283U);
  EXPECT_EQ(crc32c(""), 0U);
}

// Of each way that this processor can go.
std::vector<Update> ways() {
  std::vector<Update> ways = {update_by_table, choose_update()};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("sse4.2") != 0) ways.push_back(update_by_instruction);
#endif
  return ways;
}

TEST(Crc32c, is_as_defined_for_any_length_and_place_in_memory) {
  testing::Random random;
  for (int i = 0; i < 2000; ++i) {
    const std::string bytes = random.bytes(random.below(i % 10 == 0 ? 5000 : 200) + 8);
    const std::string_view part = std::string_view(bytes).substr(random.below(8));
    for (const Update update : ways()) {
      ASSERT_EQ(~update(~0U, part.data(), part.size()), by_definition(part)) << part.size();
    }
  }
}

TEST(Crc32c, goes_on_from_the_one_of_what_stands_before) {
  testing::Random random;
  for (int i = 0; i < 2000; ++i) {
    const std::string bytes = random.bytes(random.below(1000));
    const std::string_view whole = bytes;
    const std::size_t first = random.below(bytes.size() + 1);
    ASSERT_EQ(crc32c(whole.substr(first), crc32c(whole.substr(0, first))), crc32c(whole));
  }
}

// So early that no global of another file need be there yet.
const std::uint32_t before_main = crc32c("123456789");

TEST(Crc32c, may_be_asked_before_main) { EXPECT_EQ(before_main, 0xE3069283U); }

TEST(Crc32c, finds_every_single_and_double_bit_error) {
  testing::Random random;
  std::string bytes = random.bytes(48);
  const std::uint32_t right = crc32c(bytes);
  const auto flip = [&](std::size_t bit) {
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
  };
  for (std::size_t first = 0; first < bytes.size() * 8; ++first) {
    flip(first);
    ASSERT_NE(crc32c(bytes), right) << first;
    for (std::size_t second = 0; second < first; ++second) {
      flip(second);
      ASSERT_NE(crc32c(bytes), right) << first << " and " << second;
      flip(second);
    }
    flip(first);
  }
}

}  // namespace
}  // namespace log_aggregator
