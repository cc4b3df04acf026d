#include "src/handler/crash_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <simdjson.h>

#include <algorithm>
#include <string>
#include <string_view>

namespace log_aggregator {
namespace {

using ::testing::EndsWith;
using ::testing::MatchesRegex;
using ::testing::StartsWith;

// The calls that led here.
[[gnu::noinline]] void collect_caller(CrashStack& stack) {
  stack.collect_from(__builtin_extract_return_addr(__builtin_return_address(0)));
  stack.resolve();
}

constexpr std::string_view kFields = R"("host":"h","logger_name":"log_aggregator.crash")";

class CrashRecordTest : public ::testing::Test {
 protected:
  CrashRecordTest() {
    signal_.si_signo = SIGSEGV;
    signal_.si_code = SEGV_MAPERR;
    signal_.si_addr = nullptr;
    crash_.signal = &signal_;
    crash_.time_ns = 1'743'062'571'123'456'789;
    crash_.process = 4242;
    crash_.thread = 4243;
    crash_.thread_name = "worker";
    collect_caller(stack_);
    crash_.stack = &stack_;
  }

  std::string write(std::size_t capacity = 64 << 10) {
    std::string memory(capacity, '?');
    return std::string(write_crash_record(crash_, kFields, memory.data(), memory.size()));
  }
  std::string member(std::string_view name) {
    const std::string text = write();
    simdjson::dom::element value;
    EXPECT_EQ(parser_.parse(text).at_key(name).get(value), simdjson::SUCCESS) << text;
    return value.is_string() ? std::string(std::string_view(value)) : simdjson::minify(value);
  }

  siginfo_t signal_{};
  Crash crash_;
  CrashStack stack_;
  simdjson::dom::parser parser_;
};

TEST_F(CrashRecordTest, it_is_a_canonical_record) {
  stack_.clear();
  EXPECT_EQ(write(),
            R"({"timestamp":"2025-03-27T08:02:51.123456+00:00","level":"CRITICAL",)"
            R"("message":"crashed: SIGSEGV (address not mapped) at 0x0 in thread 4243 \"worker\"",)"
            R"("host":"h","logger_name":"log_aggregator.crash","process":4242,"thread":4243,)"
            R"("threadName":"worker","extra":{"signal":"SIGSEGV","signal_number":11,"code":1,)"
            R"("address":"0x0"},"stack":""})");
}

TEST_F(CrashRecordTest, a_signal_that_was_sent_names_its_sender_and_no_address) {
  signal_.si_code = SI_USER;
  signal_.si_pid = 77;
  EXPECT_THAT(member("message"), StartsWith("crashed: SIGSEGV sent by process 77 in thread"));
  EXPECT_EQ(member("extra"), R"({"signal":"SIGSEGV","signal_number":11,"code":0})");
  signal_.si_pid = 4242;  // itself, as abort() does
  EXPECT_THAT(member("message"), StartsWith("crashed: SIGSEGV in thread"));
}

TEST_F(CrashRecordTest, an_exception_is_named_in_the_message_and_told_in_a_field) {
  crash_.signal = nullptr;
  crash_.exception_type = "shop::Error";
  crash_.exception = "shop::Error: no \"order\"\ncaused by x";
  EXPECT_THAT(member("message"), StartsWith("crashed: std::terminate after shop::Error in thread"));
  EXPECT_EQ(member("exception"), crash_.exception);
}

TEST_F(CrashRecordTest, names_that_are_no_text_are_made_text) {
  crash_.thread_name = "a\"\\\n\xFF";
  EXPECT_THAT(member("message"), EndsWith("\"a\"\\\n\xEF\xBF\xBD\""));
}

TEST_F(CrashRecordTest, the_stack_has_a_line_for_each_call_as_far_as_they_fit) {
  const std::string stack = member("stack");
  ASSERT_GT(stack_.size(), 3U);
  EXPECT_EQ(std::count(stack.begin(), stack.end(), '\n') + 1, stack_.size());
  const std::size_t whole = write().size();
  std::size_t lines_before = 0;
  for (std::size_t capacity = 700; capacity < whole + 500; capacity += 7) {
    const std::string text = write(capacity);
    std::string_view shown;
    ASSERT_EQ(parser_.parse(text)["stack"].get(shown), simdjson::SUCCESS) << text;
    const auto lines = static_cast<std::size_t>(std::count(shown.begin(), shown.end(), '\n'));
    EXPECT_THAT(stack, StartsWith(std::string(shown)));
    EXPECT_GE(lines, lines_before);
    lines_before = lines;
  }
  EXPECT_EQ(lines_before + 1, stack_.size());
}

TEST_F(CrashRecordTest, a_long_exception_leaves_room_for_the_rest) {
  const std::string text(100'000, 'x');
  crash_.signal = nullptr;
  crash_.exception_type = text;
  crash_.exception = text;
  for (const std::size_t capacity : {1024, 2048, 4096, 65'536}) {
    const std::string record = write(capacity);
    EXPECT_FALSE(record.empty());
    EXPECT_EQ(parser_.parse(record).error(), simdjson::SUCCESS);
  }
}

TEST_F(CrashRecordTest, where_not_even_the_fields_fit_there_is_none) { EXPECT_EQ(write(100), ""); }

TEST_F(CrashRecordTest, it_is_known_among_others) {
  const std::string record = write();
  EXPECT_TRUE(is_crash_record({.sequence = 1, .severity = 50, .time_ns = 0, .payload = record}));
  EXPECT_FALSE(
      is_crash_record({.sequence = 1,
                       .severity = 50,
                       .time_ns = 0,
                       .payload = R"({"message":"\"logger_name\":\"log_aggregator.crash\""})"}));
}

TEST(CrashStackTest, a_frame_names_its_file_and_the_place_in_it) {
  CrashStack stack;
  collect_caller(stack);
  ASSERT_GT(stack.size(), 1U);
  std::string memory(1000, '?');
  FixedText text(memory.data(), memory.size());
  stack.write(0, text);
  EXPECT_THAT(std::string(text.view()), MatchesRegex("#0 0x[0-9a-f]+ /.*+0x[0-9a-f]+.*"));
}

}  // namespace
}  // namespace log_aggregator
