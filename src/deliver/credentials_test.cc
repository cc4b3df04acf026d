#include "src/deliver/credentials.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "src/testing/fake_clock.h"

namespace log_aggregator {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class CredentialsTest : public ::testing::Test {
 protected:
  CredentialsTest() {
    options_.auth_ttl = seconds(60);
    options_.headers = {{"X-Static", "s"}};
  }

  void ask_application() {
    options_.auth = [this]() -> Result<Headers> {
      ++asked_;
      if (fails_) return Status::unavailable("no token today");
      return Headers{{"X-Token", std::to_string(asked_)}};
    };
  }

  static std::vector<std::string> values(const Headers& headers) {
    std::vector<std::string> values;
    for (const Header& header : headers) values.push_back(header.value);
    return values;
  }
  std::vector<std::string> get() {
    const auto headers = credentials_.get();
    return headers.ok() ? values(*headers)
                        : std::vector<std::string>{"failed: " + headers.status().message()};
  }

  int asked_ = 0;
  bool fails_ = false;
  testing::FakeClock clock_;
  Options options_;
  Mailbox mailbox_;
  Credentials credentials_{options_, mailbox_, clock_};
};

TEST_F(CredentialsTest, without_a_callback_the_given_headers_are_all) {
  EXPECT_THAT(get(), ElementsAre("s"));
  EXPECT_FALSE(credentials_.refresh()) << "asking again cannot help";
}

TEST_F(CredentialsTest, the_callbacks_headers_come_behind_the_given_ones) {
  ask_application();
  EXPECT_THAT(get(), ElementsAre("s", "1"));
}

TEST_F(CredentialsTest, an_answer_serves_for_its_time) {
  ask_application();
  get();
  clock_.advance(seconds(59));
  EXPECT_THAT(get(), ElementsAre("s", "1"));
  clock_.advance(seconds(1));
  EXPECT_THAT(get(), ElementsAre("s", "2"));
}

TEST_F(CredentialsTest, a_refresh_asks_again_before_that) {
  ask_application();
  get();
  EXPECT_TRUE(credentials_.refresh());
  EXPECT_THAT(get(), ElementsAre("s", "2"));
  EXPECT_THAT(get(), ElementsAre("s", "2"));
}

TEST_F(CredentialsTest, an_old_answer_serves_on_where_no_new_one_comes) {
  ask_application();
  get();
  fails_ = true;
  clock_.advance(seconds(61));
  EXPECT_THAT(get(), ElementsAre("s", "1"));
}

TEST_F(CredentialsTest, a_refused_answer_does_not_serve_on) {
  ask_application();
  get();
  fails_ = true;
  credentials_.refresh();
  EXPECT_THAT(get(), ElementsAre("failed: no token today"));
}

TEST_F(CredentialsTest, without_any_answer_there_are_none) {
  ask_application();
  fails_ = true;
  EXPECT_THAT(get(), ElementsAre("failed: no token today"));
  fails_ = false;
  EXPECT_THAT(get(), ElementsAre("s", "2")) << "the next request asks anew";
}

TEST_F(CredentialsTest, a_detached_callback_is_not_asked) {
  ask_application();
  EXPECT_TRUE(mailbox_.detach(Clock::TimePoint()));
  EXPECT_THAT(get(), ElementsAre(HasSubstr("failed")));
  EXPECT_EQ(asked_, 0);
}

TEST_F(CredentialsTest, headers_that_are_none_are_a_failure) {
  options_.auth = []() -> Result<Headers> { return Headers{{"X-Token", "a\nb"}}; };
  EXPECT_THAT(get(), ElementsAre(HasSubstr("X-Token")));
  options_.auth = []() -> Result<Headers> { return Headers{{"X Token", "a"}}; };
  EXPECT_THAT(get(), ElementsAre(HasSubstr("failed")));
}

TEST_F(CredentialsTest, what_the_callback_throws_is_a_failure) {
  options_.auth = []() -> Result<Headers> { throw std::runtime_error("boom"); };
  EXPECT_THAT(get(), ElementsAre(HasSubstr("boom")));
}

TEST_F(CredentialsTest, what_is_known_is_told_without_asking) {
  ask_application();
  EXPECT_THAT(values(credentials_.known()), ElementsAre("s"));
  get();
  EXPECT_THAT(values(credentials_.known()), ElementsAre("s", "1"));
  EXPECT_EQ(asked_, 1);
}

}  // namespace
}  // namespace log_aggregator
