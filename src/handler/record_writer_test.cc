#include "src/handler/record_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <simdjson.h>

#include <optional>
#include <string>

#include "src/testing/seed.h"

namespace log_aggregator {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr std::int64_t kTime = 1'743'062'571'123'456;
constexpr std::string_view kMark = "\xE2\x80\xA6[cut]";

class RecordWriterTest : public ::testing::Test {
 protected:
  void limit(std::size_t max_bytes) { writer_.emplace(prefix_, max_bytes); }
  RecordWriter& writer() {
    if (!writer_) limit(1 << 20);
    return *writer_;
  }

  // The member as a reader sees it; fails where the record is not valid.
  std::string member(std::string_view record, std::string_view name) {
    std::string_view text;
    EXPECT_EQ(parser_.parse(std::string(record))[name].get(text), simdjson::SUCCESS)
        << name << " of " << record;
    return std::string(text);
  }
  bool has(std::string_view record, std::string_view name) {
    return parser_.parse(std::string(record))[name].error() == simdjson::SUCCESS;
  }
  bool is_object(std::string_view record) {
    simdjson::dom::object object;
    return parser_.parse(std::string(record)).get(object) == simdjson::SUCCESS;
  }

  // What a cut leaves of a message made of `piece` is its beginning, wherever the cut falls.
  void expect_cuts_between(std::string_view piece) {
    for (std::size_t shift = 0; shift < 8; ++shift) {
      limit(1024);
      std::string text(shift, 'x');
      while (text.size() < 2000) text += piece;
      writer().begin(kTime, "INFO");
      writer().message(text);
      const std::string message = member(writer().finish(), "message");
      ASSERT_THAT(message, EndsWith(kMark));
      EXPECT_EQ(message.substr(0, message.size() - kMark.size()),
                text.substr(0, message.size() - kMark.size()));
    }
  }

  std::string prefix_ = record_prefix("web-1", {{"service", R"("shop")"}});

 private:
  std::optional<RecordWriter> writer_;
  simdjson::dom::parser parser_;
};

// ---- contents

TEST_F(RecordWriterTest, writes_every_part_in_the_order_it_is_given) {
  writer().begin(kTime, "INFO");
  writer().message("user \"x\" logged in");
  writer().field("logger_name", "app");
  writer().field("lineno", 42);
  writer().exception("Traceback");
  writer().stack("Stack");
  writer().begin_extra();
  writer().json().key("user_id");
  writer().json().integer(123);
  writer().end_extra();
  EXPECT_EQ(writer().finish(),
            R"({"timestamp":"2025-03-27T08:02:51.123456+00:00","level":"INFO","host":"web-1",)"
            R"("service":"shop","message":"user \"x\" logged in","logger_name":"app","lineno":42,)"
            R"("exception":"Traceback","stack":"Stack","extra":{"user_id":123}})");
}

TEST_F(RecordWriterTest, a_record_forgets_the_one_before_it) {
  writer().begin(kTime, "INFO");
  writer().exception("first");
  writer().finish();
  writer().begin(kTime + 1, "DEBUG");
  const auto record = writer().finish();
  EXPECT_EQ(record, R"({"timestamp":"2025-03-27T08:02:51.123457+00:00","level":"DEBUG",)"
                    R"("host":"web-1","service":"shop"})");
}

TEST_F(RecordWriterTest, timestamps_are_right_within_and_across_seconds_in_any_order) {
  for (const std::int64_t time :
       {kTime, kTime + 1, kTime + 1'000'000, kTime, std::int64_t{-1}, std::int64_t{-1'000'000},
        std::int64_t{0}, std::int64_t{-1'000'001}}) {
    RecordWriter fresh(prefix_, 1 << 20);
    fresh.begin(time, "INFO");
    writer().begin(time, "INFO");
    EXPECT_EQ(member(writer().finish(), "timestamp"), member(fresh.finish(), "timestamp")) << time;
  }
}

TEST_F(RecordWriterTest, a_first_record_just_before_the_epoch_has_its_timestamp) {
  writer().begin(-1, "INFO");
  EXPECT_EQ(member(writer().finish(), "timestamp"), "1969-12-31T23:59:59.999999+00:00");
}

// ---- cutting

TEST_F(RecordWriterTest, times_beyond_the_last_year_become_its_last_microsecond_each_time) {
  for (const std::int64_t beyond : {INT64_MAX, INT64_MAX - 1}) {
    writer().begin(beyond, "INFO");
    EXPECT_EQ(member(writer().finish(), "timestamp"), "9999-12-31T23:59:59.999999+00:00");
  }
  writer().begin(INT64_MIN, "INFO");
  EXPECT_EQ(member(writer().finish(), "timestamp"), "0001-01-01T00:00:00.000000+00:00");
}

TEST_F(RecordWriterTest, a_record_of_just_the_limit_is_not_cut) {
  const auto length = [this](std::size_t message_bytes) {
    writer().begin(kTime, "INFO");
    writer().message(std::string(message_bytes, 'm'));
    return writer().finish().size();
  };
  const std::size_t rest = length(0);
  limit(2000);
  EXPECT_EQ(length(2000 - rest), 2000U);
  writer().begin(kTime, "INFO");
  writer().message(std::string(2000 - rest, 'm'));
  EXPECT_EQ(member(writer().finish(), "message"), std::string(2000 - rest, 'm'));
  writer().begin(kTime, "INFO");
  writer().message(std::string(2001 - rest, 'm'));
  EXPECT_THAT(member(writer().finish(), "message"), EndsWith(kMark));
}

TEST_F(RecordWriterTest, the_message_is_cut_first_and_marked) {
  limit(1024);
  writer().begin(kTime, "INFO");
  writer().message(std::string(5000, 'm'));
  writer().exception("Traceback");
  const auto record = writer().finish();
  EXPECT_EQ(record.size(), 1024U);
  EXPECT_THAT(member(record, "message"), AllOf(StartsWith("mmmm"), EndsWith(kMark)));
  EXPECT_EQ(member(record, "exception"), "Traceback");
}

TEST_F(RecordWriterTest, then_the_exception_then_the_stack_then_extra_are_cut) {
  limit(1024);
  const auto record_with = [this](std::size_t exception, std::size_t stack, std::size_t extra) {
    writer().begin(kTime, "INFO");
    writer().message(std::string(500, 'm'));
    writer().exception(std::string(exception, 'e'));
    writer().stack(std::string(stack, 's'));
    writer().begin_extra();
    writer().json().key("x");
    writer().json().string(std::string(extra, 'x'));
    writer().end_extra();
    return std::string(writer().finish());
  };
  const std::string one = record_with(2000, 100, 100);
  EXPECT_EQ(member(one, "message"), kMark);
  EXPECT_THAT(member(one, "exception"), AllOf(StartsWith("eee"), EndsWith(kMark)));
  EXPECT_EQ(member(one, "stack"), std::string(100, 's'));

  const std::string two = record_with(2000, 2000, 100);
  EXPECT_EQ(member(two, "exception"), kMark);
  EXPECT_THAT(member(two, "stack"), AllOf(StartsWith("sss"), EndsWith(kMark)));
  EXPECT_THAT(two, HasSubstr("xxx"));

  const std::string three = record_with(2000, 2000, 2000);
  EXPECT_EQ(member(three, "stack"), kMark);
  EXPECT_THAT(three, HasSubstr(R"("extra":{"cut":true})"));
}

TEST_F(RecordWriterTest, fields_that_are_too_long_leave_a_record_that_says_so) {
  limit(1024);
  writer().begin(kTime, "ERROR");
  writer().field("logger_name", std::string(5000, 'l'));
  const auto record = writer().finish();
  EXPECT_LE(record.size(), 1024U);
  EXPECT_THAT(member(record, "message"), HasSubstr("max_record_bytes"));
  EXPECT_EQ(member(record, "timestamp"), "2025-03-27T08:02:51.123456+00:00");
  EXPECT_EQ(member(record, "host"), "web-1");
}

TEST_F(RecordWriterTest, a_cut_splits_no_escape) {
  for (const std::string_view piece : {"\\", "\"", "\n", "\x01", "\\u0041", "\\\\n"}) {
    expect_cuts_between(piece);
  }
}

TEST_F(RecordWriterTest, a_cut_splits_no_character) {
  for (const std::string_view piece : {"\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"}) {
    expect_cuts_between(piece);
  }
}

TEST_F(RecordWriterTest, whatever_is_written_the_record_is_valid_and_within_the_limit) {
  testing::Random random;
  const auto any_text = [&] {
    constexpr std::string_view kPieces[] = {
        "x",    "\\",   "\"", "\n", "\x01", "\xC3\xA9", "\xF0\x9F\x98\x80", "\xED\xA0\x80",
        "\x80", "word "};
    std::string text;
    for (std::uint64_t n = random.below(random.one_in(3) ? 3000 : 60); n > 0; --n) {
      text += kPieces[random.below(std::size(kPieces))];
    }
    return text;
  };
  for (int i = 0; i < 5'000; ++i) {
    const std::size_t most = 1024 + random.below(3000);
    limit(most);
    writer().begin(static_cast<std::int64_t>(random.engine()()), "INFO");
    std::vector<std::function<void()>> parts = {
        [&] { writer().message(any_text()); }, [&] { writer().exception(any_text()); },
        [&] { writer().stack(any_text()); },
        [&] { writer().field("logger_name", random.one_in(20) ? any_text() : "app"); },
        [&] {
          writer().begin_extra();
          for (std::uint64_t n = random.below(6); n > 0 && !writer().full(); --n) {
            writer().json().key(any_text());
            writer().json().string(any_text());
          }
          writer().end_extra();
        }};
    std::shuffle(parts.begin(), parts.end(), random.engine());
    for (const auto& part : parts) {
      if (!random.one_in(4)) part();
    }
    const auto record = writer().finish();
    ASSERT_LE(record.size(), most);
    ASSERT_TRUE(is_object(record)) << record;
    ASSERT_EQ(record.find('\n'), std::string_view::npos);
    ASSERT_TRUE(has(record, "timestamp"));
  }
}

// ---- records of the caller's own shape

TEST_F(RecordWriterTest, a_custom_record_is_taken_as_it_is) {
  writer().reset();
  writer().json().begin_object();
  writer().json().key("mine");
  writer().json().integer(1);
  writer().json().end_object();
  EXPECT_EQ(writer().finish_custom(), R"({"mine":1})");
}

TEST_F(RecordWriterTest, a_custom_record_that_is_too_long_is_replaced_by_one_of_now) {
  limit(1024);
  writer().begin(0, "INFO");
  writer().finish();
  writer().reset();
  writer().json().begin_object();
  writer().json().key("mine");
  writer().json().string(std::string(2000, 'x'));
  writer().json().end_object();
  const auto record = writer().finish_custom();
  EXPECT_LE(record.size(), 1024U);
  EXPECT_THAT(member(record, "message"), HasSubstr("max_record_bytes"));
  EXPECT_GT(member(record, "timestamp"), "2025") << "not that of the record before";
}

}  // namespace
}  // namespace log_aggregator
