#include "collector/http/auth.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>

namespace log_aggregator::collector {
namespace {

Access check(std::string_view authorization) {
  return TokenSet({"alpha", "be:ta"}).check(authorization);
}

TEST(TokenSet, TakesEveryTokenAsBearer) {
  EXPECT_EQ(check("Bearer alpha"), Access::granted);
  EXPECT_EQ(check("bearer  be:ta "), Access::granted);
}

TEST(TokenSet, TakesATokenAsThePasswordOfBasicUnderAnyName) {
  EXPECT_EQ(check("Basic dXNlcjphbHBoYQ=="), Access::granted);  // user:alpha
  EXPECT_EQ(check("BASIC OmJlOnRh"), Access::granted);          // :be:ta
}

TEST(TokenSet, RefusesEverythingElse) {
  for (const char* wrong :
       {"", " ", "alpha", "Bearer", "Bearer ", "Bearer alph", "Bearer alphaa", "Bearer ALPHA",
        "Bearer alpha beta", "Bearer alphaalpha", "Digest alpha", "Basic alpha", "Basic",
        "Basic dXNlcjphbHBo", "Basic YWxwaGE=", "Basic !!", "Token alpha"}) {
    EXPECT_EQ(check(wrong), Access::wrong) << wrong;
  }
  EXPECT_EQ(check(std::string_view("Bearer alpha\0", 13)), Access::wrong);
}

TEST(TokenSet, TellsAMissingTokenFromAWrongOne) {
  EXPECT_EQ(TokenSet({"alpha"}).check(std::nullopt), Access::missing);
}

TEST(TokenSet, WantsNoTokenWhenItHoldsNone) {
  EXPECT_EQ(TokenSet().check(std::nullopt), Access::granted);
  EXPECT_EQ(TokenSet().check("Bearer any"), Access::granted);
}

TEST(TokenSet, ReadsAFileOfOneTokenPerLine) {
  const std::string path = testing::TempDir() + "/token_set_test_tokens";
  std::ofstream(path) << "  alpha\r\n\n\tbeta";
  const auto loaded = TokenSet::load(path);
  ASSERT_TRUE(loaded.ok());
  EXPECT_EQ(loaded.value().check("Bearer alpha"), Access::granted);
  EXPECT_EQ(loaded.value().check("Bearer beta"), Access::granted);
  EXPECT_EQ(loaded.value().check("Bearer "), Access::wrong);

  std::ofstream(path) << "\n \n";
  EXPECT_FALSE(TokenSet::load(path).ok());
  std::remove(path.c_str());
  EXPECT_FALSE(TokenSet::load(path).ok());
}

}  // namespace
}  // namespace log_aggregator::collector
