#include "collector/http/gaps.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace log_aggregator::collector {
namespace {

using testing::HasSubstr;

std::string refused(std::string_view query) {
  const auto parsed = parse_gaps_query(query);
  const auto* error = std::get_if<HttpError>(&parsed);
  return error != nullptr ? error->reason : "";
}

GapsQuery parse(std::string_view query) {
  EXPECT_EQ(refused(query), "");
  const auto parsed = parse_gaps_query(query);
  const auto* gaps = std::get_if<GapsQuery>(&parsed);
  return gaps != nullptr ? *gaps : GapsQuery();
}

TEST(GapsQuery, ReadsEveryParameter) {
  const GapsQuery query =
      parse("journal=6F1C0F6E-0b57-4c39-9f5b-7f0f3a6d2c11&all=1&limit=7&before=42");
  EXPECT_EQ(query.journal, "6f1c0f6e-0b57-4c39-9f5b-7f0f3a6d2c11");
  EXPECT_TRUE(query.all);
  EXPECT_EQ(query.limit, 7);
  EXPECT_EQ(query.before, 42);
}

TEST(GapsQuery, HasDefaults) {
  const GapsQuery query = parse("");
  EXPECT_EQ(query.limit, 100);
  EXPECT_FALSE(query.all || query.journal || query.before);
  EXPECT_FALSE(parse("all=0").all);
}

TEST(GapsQuery, NamesTheParameterThatIsWrong) {
  EXPECT_THAT(refused("journal=x"), HasSubstr("journal"));
  EXPECT_THAT(refused("journal=6f1c0f6e-0b57-4c39-9f5b-7f0f3a6d2c1g"), HasSubstr("journal"));
  EXPECT_THAT(refused("journal=6f1c0f6e00b57-4c39-9f5b-7f0f3a6d2c11"), HasSubstr("journal"));
  EXPECT_THAT(refused("all=yes"), HasSubstr("all"));
  EXPECT_THAT(refused("limit=0"), HasSubstr("limit"));
  EXPECT_THAT(refused("limit=1001"), HasSubstr("limit"));
  EXPECT_THAT(refused("before=1x"), HasSubstr("before"));
  EXPECT_THAT(refused("colour=1"), HasSubstr("colour"));
  EXPECT_THAT(refused("journal=%zz"), HasSubstr("encoded"));
}

TEST(GapsResponse, NamesJournalRangesAndCounts) {
  JournalGaps journal;
  journal.journal = "6f1c0f6e-0b57-4c39-9f5b-7f0f3a6d2c11";
  journal.host = "web\n1";
  journal.seen_us = 1'000'000;
  journal.gaps.stored = 5;
  journal.gaps.last = 12;
  journal.gaps.missing = {{2, 4}, {7, 7}};
  journal.gaps.missing_count = 4;
  journal.gaps.skipped = {{9, 11}};
  journal.gaps.skipped_count = 3;
  GapsPage page;
  page.journals = {journal};
  page.next = 17;
  EXPECT_EQ(gaps_response(page).body,
            R"({"journals":[{"journal":"6f1c0f6e-0b57-4c39-9f5b-7f0f3a6d2c11","host":"web\n1",)"
            R"("last_seen":"1970-01-01T00:00:01.000000+00:00","stored":5,"last":12,)"
            R"("missing":[[2,4],[7,7]],"missing_count":4,"skipped":[[9,11]],"skipped_count":3,)"
            R"("truncated":false}],"next":"17"})");
}

TEST(GapsResponse, WhatIsNotKnownIsNull) {
  GapsPage page;
  page.journals.emplace_back();
  const std::string body = gaps_response(page).body;
  EXPECT_THAT(body, HasSubstr(R"("host":null,"last_seen":null)"));
  EXPECT_THAT(body, HasSubstr(R"("next":null)"));
  EXPECT_EQ(gaps_response({}).body, R"({"journals":[],"next":null})");
}

}  // namespace
}  // namespace log_aggregator::collector
