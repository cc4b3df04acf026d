#include "collector/search/matcher.h"

#include <gtest/gtest.h>

#include <string>

namespace log_aggregator::collector {
namespace {

// Whether a query, as somebody types it, finds a record.
bool finds(std::string_view query, std::string_view record) {
  Matcher matcher;
  matcher.look_at(record);
  const auto filter = parse_filter(query);
  EXPECT_TRUE(std::holds_alternative<Filter>(filter)) << query;
  return matcher.matches(std::get<Filter>(filter));
}

constexpr std::string_view kRecord = R"({
  "timestamp":"2025-03-27T08:02:51.123456+00:00","level":"ERROR","message":"Connection reset by peer",
  "host":"web-1","logger_name":"app.db","lineno":12,"exception":"Traceback\nValueError: bad café",
  "trace_id":"abc",
  "extra":{"user_id":123,"ok":true,"none":null,"big":123456789012345678901234567890,"ratio":1.50,
           "request":{"path":"/orders","tags":["a","b"]},"items":[{"sku":1},{"sku":2}],"level":"deep"}})";

TEST(Matcher, FindsWordsInMessageLoggerAndException) {
  for (const char* query :
       {"reset", "CONNECTION", "db", "app.db", "valueerror", "cafe", "\"by peer\"", "conn*",
        "\"reset by p\"*", "exception:bad", "message:peer"}) {
    EXPECT_TRUE(finds(query, kRecord)) << query;
  }
  for (const char* query : {"rese", "\"peer by\"", "orders", "exception:reset", "message:db",
                            "\"peer app\"", "reset timeout", "-reset"}) {
    EXPECT_FALSE(finds(query, kRecord)) << query;
  }
}

TEST(Matcher, FindsFieldsInsideAndOutsideExtra) {
  for (const char* query :
       {"user_id=123", "ok:true", "none=null", "big=123456789012345678901234567890", "ratio=1.50",
        "request.path=/orders", "request.tags=b", "items.sku=2", "trace_id=abc", "lineno=12",
        "request.path=/ord*", "-user_id=124", "timestamp=2025-03-27T*"}) {
    EXPECT_TRUE(finds(query, kRecord)) << query;
  }
  for (const char* query : {"user_id=12", "ratio=1.5", "path=/orders", "request=/orders",
                            "items.sku=3", "extra.user_id=123", "nothing=*"}) {
    EXPECT_FALSE(finds(query, kRecord)) << query;
  }
}

TEST(Matcher, ComparesTheRecordsOwnLevelLoggerAndHost) {
  for (const char* query : {"level>=WARNING", "level:error", "logger:app.db", "logger:app.*",
                            "host:web-*", "-host:web"}) {
    EXPECT_TRUE(finds(query, kRecord)) << query;
  }
  for (const char* query : {"level:deep", "level<ERROR", "logger:app", "logger:App.*"}) {
    EXPECT_FALSE(finds(query, kRecord)) << query;
  }
}

TEST(Matcher, TakesWhatARequestSelectsByBeside) {
  Matcher matcher;
  matcher.look_at(kRecord);
  Selection selection;
  selection.levels = {"INFO", "ERROR"};
  selection.logger = "app.db";
  selection.host = "web-1";
  EXPECT_TRUE(matcher.matches(selection));
  selection.levels = {"error"};
  EXPECT_FALSE(matcher.matches(selection));
}

TEST(Matcher, ReadsTheNextRecord) {
  Matcher matcher;
  const Filter filter = std::get<Filter>(parse_filter("peer"));
  matcher.look_at(kRecord);
  EXPECT_TRUE(matcher.matches(filter));
  matcher.look_at(R"({"message":"x"})");
  EXPECT_FALSE(matcher.matches(filter));
}

TEST(Matcher, OfFieldsThatComeTwiceTakesTheLast) {
  EXPECT_TRUE(finds("b -a", R"({"message":"a","message":"b"})"));
}

TEST(Matcher, LivesWithHostileRecords) {
  std::string deep = R"({"message":"deep","extra":{"a":)";
  for (int i = 0; i < 900; ++i) deep += "{\"a\":";
  deep += '1';
  for (int i = 0; i < 902; ++i) deep += '}';
  EXPECT_TRUE(finds("deep -a=1", deep));

  std::string wide = R"({"extra":{"list":[0)";
  for (int i = 1; i < 300'000; ++i) wide += ",0";
  wide += R"(,1]},"message":"wide"})";
  EXPECT_TRUE(finds("wide list=0", wide));
  EXPECT_FALSE(finds("list=1", wide));  // past the first 100,000
}

}  // namespace
}  // namespace log_aggregator::collector
