#include "cli/record_text.h"

#include <gtest/gtest.h>

namespace log_aggregator::cli {
namespace {

std::string text(std::string_view json, bool colours = false) {
  const auto made = record_text(json, colours);
  return made.ok() ? made.value() : "error: " + made.status().message();
}

TEST(RecordText, IsOneLine) {
  EXPECT_EQ(text(R"({"id":1,"timestamp":"T","level":"INFO","logger_name":"app","message":"m"})"),
            "T INFO     app: m\n");
  EXPECT_EQ(text(R"({"message":"m"})"), "          m\n");
  EXPECT_EQ(text(R"({"level":"CRITICALLY","message":"m"})"), " CRITICALLY m\n");
}

TEST(RecordText, ShowsExtrasAndUnknownFieldsAsTheyAreWritten) {
  EXPECT_EQ(
      text(R"({"message":"m","lineno":3,"service":"shop","extra":{"n":12345678901234567890123,)"
           R"("f":1.50,"b":true,"z":null,"s":"a b","e":"","q":"x\"y","l":[1, {"a":2}]}})"),
      "          m service=shop n=12345678901234567890123 f=1.50 b=true z=null s=\"a b\" e=\"\""
      " q=\"x\\\"y\" l=[1, {\"a\":2}]\n");
}

TEST(RecordText, IndentsExceptionAndStackBelow) {
  EXPECT_EQ(text(R"({"message":"m","exception":"a\n  b\n","stack":"s\r\nt"})"),
            "          m\n    a\n      b\n    s\n    t\n");
}

TEST(RecordText, TakesFieldsOfUnexpectedTypes) {
  EXPECT_EQ(text(R"({"message":{"a":1},"level":7,"extra":"x","exception":[1]})"),
            " 7        {\"a\":1} extra=x exception=[1]\n");
}

TEST(RecordText, ColoursByLevel) {
  EXPECT_EQ(text(R"({"timestamp":"T","level":"ERROR","message":"m"})", true),
            "\x1b[2mT\x1b[0m \x1b[31mERROR   \x1b[0m m\x1b[2m\x1b[0m\n");
}

TEST(RecordText, SaysWhatCannotBeRead) {
  for (const char* wrong : {"", "[]", "17", "{\"a\"", "{\"a\":\"\\x\"}"}) {
    EXPECT_EQ(text(wrong).substr(0, 7), "error: ") << wrong;
  }
}

}  // namespace
}  // namespace log_aggregator::cli
