#include "collector/http/ingest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "collector/timestamp.h"

namespace log_aggregator::collector {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::int64_t kNow = 1'743'062'571'000'000;
constexpr const char* kUuid = "6F1C0F6E-0b57-4c39-9f5b-7f0f3a6d2c11";

HttpRequest request(std::string body, const char* type = "application/x-ndjson") {
  HttpRequest made;
  made.method = "POST";
  made.path = "/api/logs";
  made.headers = {{"content-type", type}};
  made.body = std::move(body);
  return made;
}

HttpRequest numbered(std::string body, const char* sequence) {
  HttpRequest made = request(std::move(body));
  made.headers.emplace_back("log-aggregator-journal", kUuid);
  made.headers.emplace_back("log-aggregator-sequence", sequence);
  return made;
}

HttpRequest with_skipped(HttpRequest made, std::string skipped) {
  made.headers.emplace_back("log-aggregator-skipped", std::move(skipped));
  return made;
}

HttpRequest skipped_only(std::string body, const char* type = "application/x-ndjson") {
  HttpRequest made = request(std::move(body), type);
  made.headers.emplace_back("log-aggregator-journal", kUuid);
  return with_skipped(std::move(made), "3-5");
}

Ingest parse(HttpRequest made) {
  auto parsed = parse_ingest(std::move(made), {}, kNow);
  if (const auto* error = std::get_if<HttpError>(&parsed)) {
    ADD_FAILURE() << error->status << " " << error->reason;
    return {};
  }
  return std::get<Ingest>(std::move(parsed));
}

int refused(HttpRequest made, const IngestLimits& limits = {}) {
  const auto parsed = parse_ingest(std::move(made), limits, kNow);
  const auto* error = std::get_if<HttpError>(&parsed);
  return error != nullptr ? error->status : 200;
}

std::vector<std::string> texts(const Ingest& ingest) {
  std::vector<std::string> found;
  for (const Record& record : ingest.batch.records) found.push_back(record.json);
  return found;
}

std::string reason(std::string record) {
  const Ingest ingest = parse(request(std::move(record)));
  return ingest.bad.size() == 1 ? ingest.bad[0].reason : "";
}

TEST(Ingest, TakesOutWhatQueriesSelectBy) {
  const Ingest ingest = parse(request(
      R"({"message":"m","level":"INFO","logger_name":"a.b","host":"h\u00e9","timestamp":"1970-01-01T00:00:01Z"})"));
  ASSERT_EQ(ingest.batch.records.size(), 1);
  const Record& record = ingest.batch.records[0];
  EXPECT_EQ(record.time_us, 1'000'000);
  EXPECT_EQ(record.level, "INFO");
  EXPECT_EQ(record.logger, "a.b");
  EXPECT_EQ(record.host, "h\xc3\xa9");
  EXPECT_EQ(record.sequence, std::nullopt);
  EXPECT_TRUE(ingest.batch.journal.empty());
}

TEST(Ingest, KeepsARecordByteForByte) {
  const std::string text =
      R"({ "timestamp":"1970-01-01T00:00:01Z","message":"\u00e9\/", "n":1.0, "big":12345678901234567890123, "x":{"y":[ ]}})";
  EXPECT_THAT(texts(parse(request(" " + text + " \r\n"))), ElementsAre(text));
  EXPECT_THAT(texts(parse(request("[" + text + "\n," + text + "]", "application/json"))),
              ElementsAre(text, text));
}

TEST(Ingest, GivesTheTimeOfReceiptToRecordsWithoutOne) {
  const Ingest ingest = parse(request(R"({"message":"m"})"));
  EXPECT_THAT(texts(ingest),
              ElementsAre("{\"timestamp\":\"" + timestamp_text(kNow) + "\",\"message\":\"m\"}"));
  EXPECT_EQ(ingest.batch.records[0].time_us, kNow);
}

TEST(Ingest, RenamesAFieldCalledId) {
  EXPECT_THAT(
      texts(parse(request(
          R"({"id":{"id":[1,2]},"timestamp":"1970-01-01T00:00:01Z","message":"\"id\":1","\u0069d" : 2})"))),
      ElementsAre(
          R"({"record_id":{"id":[1,2]},"timestamp":"1970-01-01T00:00:01Z","message":"\"id\":1","record_id" : 2})"));
}

TEST(Ingest, OfAFieldThatComesTwiceTheLastCounts) {
  EXPECT_EQ(parse(request(R"({"message":"m","level":"A","level":"B"})")).batch.records[0].level,
            "B");
  EXPECT_EQ(reason(R"({"message":"m","message":1})"), "message is not a string");
}

TEST(Ingest, NamesBadRecordsByIndexAndKeepsTheOthers) {
  const Ingest ingest = parse(request("{}\n\n{\"message\":\"a\"}\n{tru3}\n{\"message\":\"b\"}"));
  ASSERT_EQ(ingest.bad.size(), 2);
  EXPECT_EQ(ingest.bad[0].index, 0);
  EXPECT_EQ(ingest.bad[1].index, 2);
  EXPECT_EQ(ingest.batch.records.size(), 2);
}

TEST(Ingest, SaysWhatIsWrongWithARecord) {
  EXPECT_EQ(reason("17"), "is not a JSON object");
  EXPECT_EQ(reason("{}"), "has no message");
  EXPECT_EQ(reason(R"({"message":1})"), "message is not a string");
  EXPECT_EQ(reason(R"({"message":"m","timestamp":"x"})"),
            "timestamp is not ISO 8601 with an offset");
  for (const char* broken :
       {"{", "tru", R"({"message":"m"} {"message":"n"})", R"({"message":"m",})",
        "{\"message\":\"\x01\"}", "{\"message\":\"\xed\xa0\x80\"}",
        R"({"message":"m","n":01234567890123456789012})",
        R"({"message":"m","n":1234567890123456789012.})"}) {
    EXPECT_THAT(reason(broken), HasSubstr("is not valid JSON")) << broken;
  }
}

TEST(Ingest, GivesEachRecordItsNumberBadOnesIncluded) {
  const Ingest ingest = parse(
      numbered("{\"message\":\"a\"}\n{}\n{\"message\":\"c\"}\n{\"message\":\"d\"}", "5-6,8-9"));
  EXPECT_EQ(ingest.batch.journal, "6f1c0f6e-0b57-4c39-9f5b-7f0f3a6d2c11");
  std::vector<std::uint64_t> numbers;
  for (const Record& record : ingest.batch.records) numbers.push_back(record.sequence.value_or(0));
  EXPECT_THAT(numbers, ElementsAre(5, 8, 9));
}

TEST(Ingest, RefusesASequenceThatDoesNotFitTheBody) {
  EXPECT_EQ(refused(numbered("{}\n{}", "1-2")), 200);
  EXPECT_EQ(refused(numbered("{}\n{}", "1-3")), 400);
  EXPECT_EQ(refused(numbered("{}\n{}", "1")), 400);
  EXPECT_EQ(refused(numbered("{}", "x")), 400);
}

TEST(Ingest, ReadsWhatWasGivenUpBesideTheRecordsOrWithoutAny) {
  const Ingest both = parse(with_skipped(numbered("{\"message\":\"a\"}", "9"), "3-5,7"));
  EXPECT_EQ(both.batch.records.size(), 1);
  EXPECT_EQ(both.batch.received_us, kNow);
  EXPECT_THAT(both.batch.skipped, ElementsAre(SequenceRange{3, 5}, SequenceRange{7, 7}));
  for (const char* type : {"application/json", "application/x-ndjson"}) {
    const Ingest alone = parse(skipped_only("", type));
    EXPECT_THAT(alone.batch.records, IsEmpty());
    EXPECT_THAT(alone.batch.skipped, ElementsAre(SequenceRange{3, 5}));
  }
  EXPECT_THAT(parse(skipped_only("[]", "application/json")).batch.skipped,
              ElementsAre(SequenceRange{3, 5}));
}

TEST(Ingest, RefusesRecordsOfAJournalWithoutTheirNumbers) {
  EXPECT_EQ(refused(skipped_only("{\"message\":\"a\"}")), 400);
}

TEST(Ingest, TakesAnEmptyBodyInJsonOnlyWithWhatWasGivenUp) {
  EXPECT_EQ(refused(request("", "application/json")), 400);
}

TEST(Ingest, NamesTheHeaderThatIsWrong) {
  const auto reason = [](const HttpRequest& made) {
    const auto error = check_ingest_headers(made);
    return error ? error->reason : "";
  };
  for (const char* wrong : {"", "x", "5-3", "1,1", "99999999999999999999"}) {
    EXPECT_THAT(reason(with_skipped(numbered("{}", "1"), wrong)),
                HasSubstr("Log-Aggregator-Skipped"))
        << wrong;
  }
  EXPECT_THAT(reason(with_skipped(request("{}"), "3")),
              HasSubstr("Log-Aggregator-Skipped must come with Log-Aggregator-Journal"));
  HttpRequest alone = request("{}");
  alone.headers.emplace_back("Log-Aggregator-Journal", kUuid);
  EXPECT_THAT(reason(alone), HasSubstr("Log-Aggregator-Journal must come with"));
}

TEST(Ingest, TakesRangesOf4KiBAndNotMore) {
  std::string ranges = "10000";
  while (ranges.size() + 6 <= 4096) ranges += ',' + std::to_string(10000 + ranges.size());
  ranges += std::string(4096 - ranges.size(), ' ');
  EXPECT_EQ(refused(with_skipped(numbered("{}", "1"), ranges)), 200);
  EXPECT_EQ(refused(with_skipped(numbered("{}", "1"), ranges + ' ')), 400);
}

TEST(Ingest, RefusesTooManyRecordsAndTooManyBytes) {
  const IngestLimits limits{.max_records = 2, .max_bytes = 40};
  EXPECT_EQ(refused(request("{}\n{}\n"), limits), 200);
  EXPECT_EQ(refused(request("{}\n{}\n{}"), limits), 413);
  EXPECT_EQ(refused(request("[{},{},{}]", "application/json"), limits), 413);
  EXPECT_EQ(refused(request(std::string(40, ' ')), limits), 200);
  EXPECT_EQ(refused(request(std::string(41, ' ')), limits), 413);
}

TEST(Ingest, TakesAnEmptyNdjsonBody) { EXPECT_THAT(texts(parse(request("\n \n"))), IsEmpty()); }

// The parser reads ahead of a text's end: what follows must not matter.
TEST(Ingest, ReadsNothingBeyondARecord) {
  EXPECT_EQ(parse(request("{\"message\":\"a\"}\n\"")).batch.records.size(), 1);
  EXPECT_THAT(reason("{\"message\":\"a\""), HasSubstr("not valid JSON"));
}

TEST(Ingest, SurvivesRandomBytes) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  const std::string seeds =
      R"([{"message":"a\u00e9","n":[1,-2e5,null,true],"id":12345678901234567890}])";
  for (int round = 0; round < 3'000; ++round) {
    std::string body = seeds;
    for (int change = 0; change < 4; ++change)
      body[random() % body.size()] = static_cast<char>(random());
    for (const char* type : {"application/json", "application/x-ndjson"}) {
      const auto parsed = parse_ingest(request(body, type), {}, kNow);
      const auto* ingest = std::get_if<Ingest>(&parsed);
      if (ingest == nullptr) continue;
      // Whatever is stored must be readable by the same rules.
      for (const Record& record : ingest->batch.records) {
        EXPECT_TRUE(parse(request(record.json, "application/json")).bad.empty()) << record.json;
      }
    }
  }
}

TEST(IngestResponse, CountsAndNamesBadRecords) {
  EXPECT_EQ(ingest_response({{}, 3, 1}, {}).body, R"({"stored":3,"duplicates":1})");
  const HttpResponse bad = ingest_response({{}, 1, 0}, {{4, "has no message"}});
  EXPECT_EQ(bad.status, 400);
  EXPECT_EQ(bad.body,
            R"({"stored":1,"duplicates":0,"errors":[{"index":4,"reason":"has no message"}]})");
}

TEST(IngestResponse, AFailedStoreIs503WhateverWasBad) {
  const HttpResponse failed = ingest_response({Status::unavailable("disk full"), 0, 0}, {{0, "x"}});
  EXPECT_EQ(failed.status, 503);
  EXPECT_THAT(failed.body, HasSubstr("disk full"));
}

}  // namespace
}  // namespace log_aggregator::collector
