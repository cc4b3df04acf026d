#include "cli/send_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace log_aggregator::cli {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Le;
using ::testing::SizeIs;

class SendRecordTest : public ::testing::Test {
 protected:
  std::string from_json(std::string_view json) {
    const auto record = record_.from_json(json, 0);
    return std::string(record.ok() ? *record : record.status().message());
  }

  SendRecord record_{{.level = "INFO", .logger = "access.log", .host = "web-1"}};
};

constexpr const char* kTime = R"("timestamp":"1970-01-01T00:00:00.000000+00:00")";

TEST_F(SendRecordTest, a_line_is_a_message) {
  EXPECT_EQ(record_.from_line("a \"b\" \xff", 0),
            std::string("{") + kTime +
                R"(,"level":"INFO","host":"web-1","message":"a \"b\" )"
                "\xef\xbf\xbd"
                R"(","logger_name":"access.log"})");
}

TEST_F(SendRecordTest, a_line_that_is_too_long_is_cut) {
  const std::string line(SendRecord::kMaxBytes, 'x');
  const auto record = record_.from_line(line, 0);
  EXPECT_THAT(record, SizeIs(Le(SendRecord::kMaxBytes)));
  EXPECT_THAT(std::string(record.substr(record.size() - 100)), HasSubstr("logger_name"));
}

TEST_F(SendRecordTest, an_object_keeps_its_fields_and_gets_those_it_lacks) {
  EXPECT_EQ(
      from_json(" {\n \"message\": \"a  b\", \"n\": 1.50 }\n"),
      std::string("{") + kTime +
          R"(,"level":"INFO","logger_name":"access.log","host":"web-1","message":"a  b","n":1.50})");
  const std::string whole =
      R"({"message":"","timestamp":"t","level":"x","logger_name":"y","host":"z"})";
  EXPECT_EQ(from_json(whole), whole);
  EXPECT_THAT(from_json(R"({"message":"","level":"ERROR","host":null})"),
              EndsWith(R"("logger_name":"access.log","message":"","level":"ERROR","host":null})"));
}

TEST_F(SendRecordTest, numbers_of_any_length_stay_as_they_are) {
  EXPECT_THAT(from_json(R"({"message":"","n":123456789012345678901234567890})"),
              EndsWith(R"("n":123456789012345678901234567890})"));
}

TEST_F(SendRecordTest, what_is_no_record_is_told_why) {
  EXPECT_EQ(from_json("[]"), "is not an object");
  EXPECT_EQ(from_json("{}"), "has no message");
  EXPECT_EQ(from_json(R"({"message":null})"), "message is not a string");
  for (const char* json : {"", "{", "{\"message\":\"a\"} {}", "{\"message\":\"\xff\"}", "nul"}) {
    EXPECT_THAT(from_json(json), HasSubstr("is not valid JSON")) << json;
  }
  EXPECT_EQ(from_json("{\"message\":\"" + std::string(SendRecord::kMaxBytes, 'x') + "\"}"),
            "is longer than 1 MiB");
}

}  // namespace
}  // namespace log_aggregator::cli
