#include "collector/http/guess_limiter.h"

#include <gtest/gtest.h>

#include "src/testing/fake_clock.h"

namespace log_aggregator::collector {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr const char* kAddress = "192.0.2.1";

class GuessLimiterTest : public ::testing::Test {
 protected:
  // So many tokens, none of which was tried before. Whether the last one was too many.
  bool guess(int count, const std::string& address = kAddress) {
    bool refused = false;
    for (int i = 0; i < count; ++i) {
      refused = limiter_.add(address, std::to_string(++guesses_)).has_value();
    }
    return refused;
  }

  log_aggregator::testing::FakeClock clock_;
  GuessLimiter limiter_{clock_, 100};
  int guesses_ = 0;
};

TEST_F(GuessLimiterTest, RefusesAfterTenDifferentTokensUntilTheMinuteIsOver) {
  EXPECT_FALSE(guess(10));
  clock_.advance(milliseconds(20'500));
  EXPECT_EQ(limiter_.add(kAddress, "eleventh"), seconds(40));
  EXPECT_EQ(limiter_.add(kAddress, "1"), seconds(40));  // tried before: refused like any other
  clock_.advance(milliseconds(39'499));
  EXPECT_EQ(limiter_.add(kAddress, "twelfth"), seconds(1));
  clock_.advance(milliseconds(1));
  EXPECT_FALSE(guess(10));
  EXPECT_TRUE(guess(1));
}

TEST_F(GuessLimiterTest, TheSameTokenAgainIsNoGuess) {
  for (int i = 0; i < 1'000; ++i) EXPECT_FALSE(limiter_.add(kAddress, "of yesterday"));
  EXPECT_FALSE(guess(9));
  EXPECT_FALSE(limiter_.add(kAddress, "of yesterday"));
  EXPECT_TRUE(guess(1));
}

TEST_F(GuessLimiterTest, GuessesOfDifferentMinutesDoNotAddUp) {
  for (int minute = 0; minute < 5; ++minute) {
    EXPECT_FALSE(guess(10));
    clock_.advance(seconds(60));
  }
}

TEST_F(GuessLimiterTest, CountsEachAddressByItself) {
  EXPECT_TRUE(guess(11));
  EXPECT_FALSE(guess(10, "192.0.2.2"));
  EXPECT_TRUE(guess(1));
}

TEST_F(GuessLimiterTest, CountsAn64OfIpv6AsOne) {
  EXPECT_FALSE(guess(10, "2001:db8:0:1::1"));
  EXPECT_TRUE(guess(1, "2001:db8:0:1:ffff::2"));
  EXPECT_FALSE(guess(1, "2001:db8:0:2::1"));
  EXPECT_FALSE(guess(10, "fe80::1%eth0"));
  EXPECT_TRUE(guess(1, "fe80::2"));
}

TEST_F(GuessLimiterTest, KnowsAnIpv4AddressThatIsWrittenAsIpv6) {
  EXPECT_FALSE(guess(10, "::ffff:192.0.2.1"));
  EXPECT_FALSE(guess(10, "::ffff:192.0.2.2"));
  EXPECT_TRUE(guess(1, kAddress));
}

TEST_F(GuessLimiterTest, ForgetsTheOldestWhereThereAreTooMany) {
  EXPECT_TRUE(guess(11));
  clock_.advance(seconds(1));
  for (int i = 0; i < 99; ++i) EXPECT_FALSE(guess(1, "10.0.0." + std::to_string(i)));
  EXPECT_TRUE(guess(1));
  EXPECT_FALSE(guess(1, "10.0.1.0"));
  EXPECT_FALSE(guess(10));
}

TEST_F(GuessLimiterTest, AnAddressWhoseNewMinuteHasBegunIsNotTheOldest) {
  EXPECT_FALSE(guess(1));
  clock_.advance(seconds(30));
  EXPECT_TRUE(guess(11, "10.0.0.0"));
  clock_.advance(seconds(31));
  EXPECT_TRUE(guess(11));  // its second minute
  clock_.advance(seconds(1));
  for (int i = 1; i <= 99; ++i) EXPECT_FALSE(guess(1, "10.0.0." + std::to_string(i)));
  EXPECT_TRUE(guess(1));
}

}  // namespace
}  // namespace log_aggregator::collector
