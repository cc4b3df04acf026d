#include "src/base/base64.h"

#include <gtest/gtest.h>

#include "src/testing/seed.h"

namespace log_aggregator {
namespace {

// RFC 4648, section 10.
constexpr std::pair<std::string_view, std::string_view> kVectors[] = {{"", ""},
                                                                      {"f", "Zg=="},
                                                                      {"fo", "Zm8="},
                                                                      {"foo", "Zm9v"},
                                                                      {"foob", "Zm9vYg=="},
                                                                      {"fooba", "Zm9vYmE="},
                                                                      {"foobar", "Zm9vYmFy"}};

TEST(Base64Test, agrees_with_the_vectors_of_the_rfc) {
  for (const auto& [bytes, text] : kVectors) {
    EXPECT_EQ(base64_encode(bytes), text);
    EXPECT_EQ(base64_decode(text), bytes);
  }
}

TEST(Base64Test, any_bytes_come_back_as_they_were) {
  testing::Random random;
  for (int i = 0; i < 2'000; ++i) {
    const std::string bytes = random.bytes(random.below(50));
    ASSERT_EQ(base64_decode(base64_encode(bytes)), bytes);
  }
}

TEST(Base64Test, decoding_stops_at_the_first_foreign_character) {
  EXPECT_EQ(base64_decode("Zm9v!Zm9v"), "foo");
  EXPECT_EQ(base64_decode("\xFF"), "");
}

}  // namespace
}  // namespace log_aggregator
