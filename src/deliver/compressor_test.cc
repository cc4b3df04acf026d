#include "src/deliver/compressor.h"

#include <gtest/gtest.h>

#include <string>

#include "src/testing/seed.h"
#include "src/testing/sent_records.h"

namespace log_aggregator {
namespace {

class CompressorTest : public ::testing::TestWithParam<std::tuple<Encoding, Strength>> {
 protected:
  std::string compressed(std::string_view body) {
    std::string out = "what was here before";
    EXPECT_TRUE(compressor_.compress(encoding(), std::get<1>(GetParam()), body, out));
    return out;
  }
  static Encoding encoding() { return std::get<0>(GetParam()); }
  std::string round_trip(std::string_view body) {
    return testing::decoded(encoding_name(encoding()), compressed(body));
  }

 private:
  Compressor compressor_;
};

TEST_P(CompressorTest, a_body_comes_back_as_it_was) {
  EXPECT_EQ(round_trip("{\"n\":1}\n"), "{\"n\":1}\n");
  EXPECT_EQ(round_trip(""), "");
  EXPECT_EQ(round_trip(std::string(3 << 20, 'x')), std::string(3 << 20, 'x'));
}

TEST_P(CompressorTest, one_compressor_serves_many_bodies_of_any_bytes) {
  testing::Random random;
  for (int i = 0; i < 200; ++i) {
    std::string body = random.bytes(random.below(5'000));
    if (random.one_in(2)) body += std::string(random.below(50'000), 'x');
    ASSERT_EQ(round_trip(body), body);
  }
}

TEST_P(CompressorTest, what_repeats_becomes_shorter) {
  if (encoding() == Encoding::none) return;
  std::string body;
  for (int i = 0; i < 1000; ++i) body += R"({"level":"INFO","message":"user logged in"})";
  EXPECT_LT(compressed(body).size(), body.size() / 10);
}

INSTANTIATE_TEST_SUITE_P(Encoding, CompressorTest,
                         ::testing::Combine(::testing::Values(Encoding::none, Encoding::zstd,
                                                              Encoding::gzip),
                                            ::testing::Values(Strength::fast, Strength::usual)));

}  // namespace
}  // namespace log_aggregator
