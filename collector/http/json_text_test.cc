#include "collector/http/json_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace log_aggregator::collector {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::string_view> parts(std::string_view text) {
  const auto found = split_json(text, 100);
  EXPECT_TRUE(found) << text;
  return found.value_or(std::vector<std::string_view>{});
}

TEST(SplitJson, CutsAtTheCommasOfTheOutermostBracketOnly) {
  EXPECT_THAT(parts(R"( [ {"a":[1,2]} , "x,]\"" ,3 ] )"),
              ElementsAre(R"({"a":[1,2]})", R"("x,]\"")", "3"));
  EXPECT_THAT(parts(R"({"a":1,"b":{"c":2,"d":3}})"),
              ElementsAre(R"("a":1)", R"("b":{"c":2,"d":3})"));
}

TEST(SplitJson, FindsNoPartsInEmptyBrackets) {
  EXPECT_THAT(parts("[]"), IsEmpty());
  EXPECT_THAT(parts("{ \n}"), IsEmpty());
}

TEST(SplitJson, RefusesWhatDoesNotMatch) {
  for (const char* wrong : {"", " ", "1", "\"a\"", "[", "]", "[}", "[[]", "[]]", "[1,]", "[,1]",
                            "[1,,2]", "[\"a]", "[\"a\\\"]", "[1] 2", "[1][2]", "{\"a\":[}"}) {
    EXPECT_FALSE(split_json(wrong, 100)) << wrong;
  }
}

TEST(SplitJson, StopsSoonAfterTheMostThatIsWanted) {
  EXPECT_EQ(split_json("[1,2,3,4,5,6", 3)->size(), 4);
}

TEST(SplitJson, TakesAnyDepth) {
  const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
  EXPECT_EQ(parts(deep).size(), 1);
}

std::string blanked(std::string json) {
  blank_long_numbers(json);
  return json;
}

TEST(BlankLongNumbers, ReplacesOnlyWellFormedNumbersThatMayBeTooLong) {
  EXPECT_EQ(blanked("[12345678901234567890, 5]"), "[0                   , 5]");
  EXPECT_EQ(blanked("[-1.5e400]"), "[0       ]");
  EXPECT_EQ(blanked("[123]"), "[123]");
  for (const char* same : {"[01234567890123456789]", "[1234567890123456789.]", "[1e]", "[-e5]",
                           "[1.2.3e5]", R"(["12345678901234567890"])",
                           R"(["\"12345678901234567890"])", R"(["12345678901234567890)"}) {
    EXPECT_EQ(blanked(same), same);
  }
}

}  // namespace
}  // namespace log_aggregator::collector
