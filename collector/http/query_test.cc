#include "collector/http/query.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "collector/http/url.h"

namespace log_aggregator::collector {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

Query parse(std::string_view query) {
  auto parsed = parse_log_query(query);
  if (const auto* error = std::get_if<HttpError>(&parsed)) {
    ADD_FAILURE() << error->reason;
    return {};
  }
  return std::get<Query>(std::move(parsed));
}

std::string refused(std::string_view query) {
  const auto parsed = parse_log_query(query);
  const auto* error = std::get_if<HttpError>(&parsed);
  return error != nullptr ? error->reason : "";
}

TEST(ParseQuery, DecodesNamesAndValuesInOrder) {
  EXPECT_THAT(*parse_query("a=1&&b=x%20y+z&a=%C3%a9&c&=d"),
              ElementsAre(Pair("a", "1"), Pair("b", "x y z"), Pair("a", "\xc3\xa9"), Pair("c", ""),
                          Pair("", "d")));
  EXPECT_TRUE(parse_query("")->empty());
}

TEST(ParseQuery, RefusesBrokenPercentSigns) {
  for (const char* wrong : {"a=%", "a=%1", "a=%zz", "%g1=a", "a=% 1", "a=%+1"}) {
    EXPECT_FALSE(parse_query(wrong)) << wrong;
  }
}

TEST(LogQuery, ReadsEveryParameter) {
  const Query query = parse(
      "from=1970-01-01T00:00:01Z&to=1970-01-01T00:00:02%2B00:00&level=A&level=B"
      "&logger=l&host=h&limit=7&before=42");
  EXPECT_EQ(query.from_us, 1'000'000);
  EXPECT_EQ(query.to_us, 2'000'000);
  EXPECT_THAT(query.levels, ElementsAre("A", "B"));
  EXPECT_EQ(query.logger, "l");
  EXPECT_EQ(query.host, "h");
  EXPECT_EQ(query.limit, 7);
  EXPECT_EQ(query.before, 42);
}

TEST(LogQuery, HasDefaults) {
  const Query query = parse("");
  EXPECT_EQ(query.limit, 100);
  EXPECT_FALSE(query.from_us || query.to_us || query.logger || query.host || query.before);
}

TEST(LogQuery, TakesAPlusThatWasNotEncoded) {
  EXPECT_EQ(parse("from=1970-01-01T02:00:00+02:00").from_us, 0);
  EXPECT_EQ(parse("from=1970-01-01+02:00:00+02:00").from_us, 0);
}

TEST(LogQuery, NamesTheParameterThatIsWrong) {
  EXPECT_THAT(refused("from=x"), HasSubstr("from"));
  EXPECT_THAT(refused("to=1970-01-01"), HasSubstr("to"));
  EXPECT_THAT(refused("limit=10001"), HasSubstr("limit"));
  EXPECT_THAT(refused("limit=1x"), HasSubstr("limit"));
  EXPECT_THAT(refused("before="), HasSubstr("before"));
  EXPECT_THAT(refused("colour=1"), HasSubstr("colour"));
}

TEST(PageResponse, PutsTheIdBeforeTheFieldsAndNamesTheNextPage) {
  Page page;
  page.records = {{2, R"({"message":"b"})"}, {1, R"({ "message":"a"})"}};
  EXPECT_EQ(page_response(page).body,
            R"({"records":[{"id":2,"message":"b"},{"id":1, "message":"a"}],"next":null})");
  page.next = 1;
  EXPECT_THAT(page_response(page).body, HasSubstr(R"("next":"1")"));
}

}  // namespace
}  // namespace log_aggregator::collector
