#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "src/format/api_format.h"
#include "src/format/body.h"
#include "src/format/capabilities.h"
#include "src/format/verdict.h"
#include "src/testing/seed.h"

namespace log_aggregator {
namespace {

using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// ---- verdicts

TEST(VerdictTest, every_status_has_its_fate) {
  const auto expect = [](Fate fate, std::initializer_list<int> statuses) {
    for (const int status : statuses) {
      const Verdict verdict = judge(status, "", 10);
      EXPECT_EQ(verdict.fate, fate) << status;
      EXPECT_THAT(verdict.refused, IsEmpty());
    }
  };
  expect(Fate::stored, {200, 201, 202, 204, 299});
  expect(Fate::retry, {408, 421, 429, 500, 501, 502, 503, 504, 599});
  expect(Fate::too_large, {413});
  expect(Fate::unsupported, {415});
  expect(Fate::unauthorized, {401, 403});
  expect(Fate::poisoned, {400, 422});
  expect(Fate::refused,
         {300, 301, 302, 304, 307, 308, 402, 404, 405, 409, 410, 418, 431, 451, 100, 199});
}

TEST(VerdictTest, a_body_changes_nothing_about_success) {
  EXPECT_EQ(judge(200, R"({"stored":0,"errors":[{"index":0}]})", 1).fate, Fate::stored);
}

class NamedRecordsTest : public ::testing::TestWithParam<int> {
 protected:
  static Verdict judged(std::string_view body, std::size_t records = 5) {
    return judge(GetParam(), body, records);
  }
};

TEST_P(NamedRecordsTest, records_that_the_answer_names_are_the_refused_ones) {
  const Verdict verdict = judged(
      R"({"stored":2,"duplicates":1,"errors":[{"index":4,"reason":"no level"},{"index":0}]})");
  EXPECT_EQ(verdict.fate, Fate::partly);
  EXPECT_THAT(verdict.refused,
              ElementsAre(Field(&RefusedRecord::index, 4), Field(&RefusedRecord::index, 0)));
  EXPECT_EQ(verdict.refused[0].reason, "no level");
  EXPECT_EQ(verdict.refused[1].reason, "");
}

TEST_P(NamedRecordsTest, duplicates_may_be_left_out) {
  EXPECT_EQ(judged(R"({"stored":4,"errors":[{"index":2}]})").fate, Fate::partly);
}

TEST_P(NamedRecordsTest, all_may_be_refused) {
  EXPECT_EQ(judged(R"({"stored":0,"errors":[{"index":0},{"index":1}]})", 2).fate, Fate::partly);
}

TEST_P(NamedRecordsTest, an_answer_that_cannot_be_true_names_nobody) {
  for (const std::string_view body :
       {R"({"stored":3,"errors":[{"index":0}]})",  // one is missing
        R"({"stored":5,"errors":[{"index":0}]})",  // one too many
        R"({"stored":18446744073709551615,"duplicates":5,"errors":[{"index":0}]})",  // wraps
        R"({"stored":4,"errors":[{"index":5}]})",              // beyond the end
        R"({"stored":4,"errors":[{"index":-1}]})",             //
        R"({"stored":4,"errors":[{"index":"0"}]})",            //
        R"({"stored":3,"errors":[{"index":1},{"index":1}]})",  // twice
        R"({"stored":5,"errors":[]})",                         // nobody
        R"({"stored":4,"errors":[0]})", R"({"stored":4,"errors":{}})",
        R"({"errors":[{"index":0}]})", R"({"stored":"4","errors":[{"index":0}]})",
        R"([{"index":0}])", "\"stored\"", "null", "bad request", "{", ""}) {
    EXPECT_EQ(judged(body).fate, Fate::poisoned) << body;
  }
}

INSTANTIATE_TEST_SUITE_P(Status, NamedRecordsTest, ::testing::Values(400, 422));

// ---- capabilities

TEST(CapabilitiesTest, an_answer_that_says_everything_is_understood) {
  const Capabilities takes = parse_capabilities(
      R"({"status":"ok","version":"1","batch":{"max_records":10000,"max_bytes":8388608},)"
      R"("formats":["array","ndjson"],"encodings":["zstd","gzip"]})");
  EXPECT_EQ(takes.max_records, 10'000U);
  EXPECT_EQ(takes.max_bytes, 8'388'608U);
  EXPECT_TRUE(takes.ndjson);
  EXPECT_TRUE(takes.zstd);
  EXPECT_TRUE(takes.gzip);
}

TEST(CapabilitiesTest, an_answer_without_batch_means_one_object_for_each_post) {
  for (const std::string_view answer :
       {"", "OK", "{}", "[]", "null", R"({"status":"ok"})", R"({"batch":true})",
        R"({"batch":null})", R"({"batch":{"max_records":10})", "\xFF\xFE",
        R"({"formats":["ndjson"]})"}) {
    const Capabilities takes = parse_capabilities(answer);
    EXPECT_EQ(takes.max_records, 1U) << answer;
  }
}

TEST(CapabilitiesTest, limits_that_are_missing_or_senseless_are_none) {
  for (const std::string_view answer :
       {R"({"batch":{}})", R"({"batch":{"max_records":0,"max_bytes":0}})",
        R"({"batch":{"max_records":-1,"max_bytes":"many"}})",
        R"({"batch":{"max_records":1.5,"max_bytes":null}})"}) {
    const Capabilities takes = parse_capabilities(answer);
    EXPECT_EQ(takes.max_records, SIZE_MAX) << answer;
    EXPECT_EQ(takes.max_bytes, SIZE_MAX) << answer;
  }
}

TEST(CapabilitiesTest, formats_and_encodings_count_without_batches_too) {
  const Capabilities takes =
      parse_capabilities(R"({"formats":["xml","ndjson"],"encodings":["br","gzip",7]})");
  EXPECT_TRUE(takes.ndjson);
  EXPECT_TRUE(takes.gzip);
  EXPECT_FALSE(takes.zstd);
}

// ---- plans

class PlanTest : public ::testing::Test {
 protected:
  Plan plan() const { return make_plan(options_, takes_); }

  static Capabilities everything() {
    return {.max_records = 1000, .max_bytes = 5000, .ndjson = true, .zstd = true, .gzip = true};
  }

  Options options_;
  Capabilities takes_;
};

TEST_F(PlanTest, an_api_that_says_nothing_gets_one_plain_object) {
  EXPECT_EQ(plan().shape, Shape::object);
  EXPECT_EQ(plan().max_records, 1U);
  EXPECT_EQ(plan().encoding, Encoding::none);
}

TEST_F(PlanTest, what_the_api_takes_is_used) {
  takes_ = everything();
  EXPECT_EQ(plan().shape, Shape::ndjson);
  EXPECT_EQ(plan().max_records, 1000U);
  EXPECT_EQ(plan().max_bytes, 5000U);
  EXPECT_EQ(plan().encoding, Encoding::zstd);
}

TEST_F(PlanTest, gzip_is_used_where_zstd_is_not_taken) {
  takes_ = everything();
  takes_.zstd = false;
  EXPECT_EQ(plan().encoding, Encoding::gzip);
}

TEST_F(PlanTest, a_given_batch_size_wins_over_what_the_api_says) {
  takes_ = everything();
  options_.batch_size = 20;
  EXPECT_EQ(plan().max_records, 20U);
  options_.batch_size = 5000;
  EXPECT_EQ(plan().max_records, 5000U);
}

TEST_F(PlanTest, a_given_batch_size_and_formats_unknown_make_an_array) {
  options_.batch_size = 20;
  EXPECT_EQ(plan().shape, Shape::array);
}

TEST_F(PlanTest, a_batch_size_of_one_makes_objects) {
  takes_ = everything();
  options_.batch_size = 1;
  EXPECT_EQ(plan().shape, Shape::object);
}

TEST_F(PlanTest, the_smaller_limit_of_bytes_holds) {
  takes_ = everything();
  options_.batch_bytes = 100;
  EXPECT_EQ(plan().max_bytes, 100U);
}

TEST_F(PlanTest, a_given_compression_wins_over_what_the_api_says) {
  options_.compression = Compression::zstd;
  EXPECT_EQ(plan().encoding, Encoding::zstd);
  options_.compression = Compression::gzip;
  EXPECT_EQ(plan().encoding, Encoding::gzip);
  takes_ = everything();
  options_.compression = Compression::none;
  EXPECT_EQ(plan().encoding, Encoding::none);
}

// ---- bodies

const std::vector<RecordView> kRecords = {
    {.payload = R"({"n":1})"}, {.payload = R"({"n":2})"}, {.payload = R"({"n":3})"}};

// As it is read in parts of that many bytes.
std::string read_all(Body& body, std::size_t part) {
  std::string text;
  std::string read(part, '?');
  while (const std::size_t count = body.read(read.data(), part)) text += read.substr(0, count);
  return text;
}

std::string body(Shape shape, std::size_t records) {
  RecordsBody body(shape, std::span(kRecords).first(records));
  const std::string text = read_all(body, 1'000);
  EXPECT_EQ(body.size(), text.size());
  return text;
}

TEST(BodyTest, is_joined_from_the_records_as_they_are) {
  EXPECT_EQ(body(Shape::object, 1), R"({"n":1})");
  EXPECT_EQ(body(Shape::array, 1), R"([{"n":1}])");
  EXPECT_EQ(body(Shape::array, 3), R"([{"n":1},{"n":2},{"n":3}])");
  EXPECT_EQ(body(Shape::ndjson, 1), "{\"n\":1}\n");
  EXPECT_EQ(body(Shape::ndjson, 3), "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n");
}

TEST(BodyTest, is_the_same_whatever_parts_it_is_read_in_and_however_often) {
  for (const Shape shape : {Shape::array, Shape::ndjson}) {
    RecordsBody records(shape, kRecords);
    TextBody text(body(shape, 3));
    for (std::size_t part = 1; part < 30; ++part) {
      EXPECT_EQ(read_all(records, part), body(shape, 3));
      EXPECT_EQ(read_all(text, part), body(shape, 3));
      records.rewind();
      text.rewind();
      char some[5];
      EXPECT_EQ(records.read(some, sizeof some), sizeof some);
      EXPECT_EQ(text.read(some, sizeof some), sizeof some);
      records.rewind();  // in the middle of a record
      text.rewind();
    }
  }
}

TEST(BodyTest, names_are_those_of_http) {
  EXPECT_EQ(content_type(Shape::object), "application/json");
  EXPECT_EQ(content_type(Shape::array), "application/json");
  EXPECT_EQ(content_type(Shape::ndjson), "application/x-ndjson");
  EXPECT_EQ(encoding_name(Encoding::zstd), "zstd");
  EXPECT_EQ(encoding_name(Encoding::gzip), "gzip");
  EXPECT_EQ(encoding_name(Encoding::none), "");
}

std::string ranges(const std::vector<std::uint64_t>& sequences) {
  std::vector<RecordView> records;
  for (const std::uint64_t sequence : sequences)
    records.push_back({.sequence = sequence, .severity = 0, .payload = {}});
  return sequence_ranges(records);
}

TEST(SequenceRangesTest, neighbours_share_a_range) {
  EXPECT_EQ(ranges({17}), "17-17");
  EXPECT_EQ(ranges({17, 18, 19}), "17-19");
  EXPECT_EQ(ranges({17, 18, 20, 21, 23}), "17-18,20-21,23-23");
  EXPECT_EQ(ranges({UINT64_MAX - 1, UINT64_MAX}), "18446744073709551614-18446744073709551615");
}

// ---- under chance

// A text that a server might send, or what a broken one makes of it.
std::string mutated(testing::Random& random, std::string text) {
  for (std::uint64_t n = random.below(6); n > 0 && !text.empty(); --n) {
    const std::size_t at = random.below(text.size());
    switch (random.below(4)) {
      case 0:
        text[at] = static_cast<char>(random.below(256));
        break;
      case 1:
        text.erase(at, random.below(10));
        break;
      case 2:
        text.insert(at, text.substr(random.below(text.size()), random.below(20)));
        break;
      default:
        text.insert(at, std::to_string(random.engine()()));
    }
  }
  return text;
}

TEST(ServerInputTest, no_answer_whatever_its_bytes_breaks_the_parsers) {
  testing::Random random;
  const std::string health =
      R"({"batch":{"max_records":10000,"max_bytes":8388608},"formats":["array"],"encodings":["gzip"]})";
  const std::string errors =
      R"({"stored":2,"duplicates":1,"errors":[{"index":1,"reason":"bad \u00e9"},{"index":3}]})";
  for (int i = 0; i < 20'000; ++i) {
    const Capabilities takes = parse_capabilities(random.one_in(5) ? random.bytes(random.below(60))
                                                                   : mutated(random, health));
    ASSERT_GE(takes.max_records, 1U);
    ASSERT_GE(takes.max_bytes, 1U);
    const Verdict verdict =
        judge(400, random.one_in(5) ? random.bytes(random.below(60)) : mutated(random, errors), 5);
    ASSERT_EQ(verdict.fate == Fate::partly, !verdict.refused.empty());
    for (const RefusedRecord& refused : verdict.refused) ASSERT_LT(refused.index, 5U);
  }
}

TEST(ServerInputTest, deep_nesting_is_refused_and_not_recursed_into) {
  const std::string deep = std::string(200'000, '[') + std::string(200'000, ']');
  EXPECT_EQ(parse_capabilities(deep).max_records, 1U);
  EXPECT_EQ(parse_capabilities("{\"batch\":" + deep + "}").max_records, 1U);
  EXPECT_EQ(judge(400, deep, 5).fate, Fate::poisoned);
}

}  // namespace
}  // namespace log_aggregator
