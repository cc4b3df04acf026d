#include "log_aggregator/json_writer.h"

#include <gtest/gtest.h>
#include <simdjson.h>

#include <cmath>
#include <limits>
#include <string>

#include "src/testing/seed.h"

namespace log_aggregator {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

std::string escaped(std::string_view text) {
  std::string out;
  append_json_escaped(out, text);
  return out;
}

// What a reader gets back.
std::string read_back(std::string_view json) {
  simdjson::dom::parser parser;
  return std::string(std::string_view(parser.parse(std::string(json))));
}
std::string round_trip(std::string_view text) {
  JsonWriter json;
  json.string(text);
  return read_back(json.text());
}

// ---- strings

TEST(JsonStringTest, every_ascii_control_is_escaped) {
  for (char c = 0; c < 0x20; ++c) {
    const std::string text = escaped({&c, 1});
    EXPECT_EQ(text[0], '\\') << static_cast<int>(c);
    EXPECT_EQ(round_trip({&c, 1}), std::string(1, c));
  }
  EXPECT_EQ(escaped("\n\r\t\x01\x1F"), R"(\n\r\t\u0001\u001f)");
}

TEST(JsonStringTest, quote_and_backslash_are_escaped) {
  EXPECT_EQ(escaped(R"(say "C:\x")"), R"(say \"C:\\x\")");
}

TEST(JsonStringTest, other_ascii_stands_for_itself) {
  std::string text;
  for (char c = 0x20; c < 0x7F; ++c) {
    if (c != '"' && c != '\\') text += c;
  }
  text += '\x7F';
  EXPECT_EQ(escaped(text), text);
}

TEST(JsonStringTest, utf8_of_one_to_four_bytes_stands_for_itself) {
  for (const std::string_view text :
       {"a", "\xC2\x80", "\xC3\xA9", "\xDF\xBF", "\xE0\xA0\x80", "\xE2\x82\xAC", "\xED\x9F\xBF",
        "\xEE\x80\x80", "\xEF\xBF\xBF", "\xF0\x90\x80\x80", "\xF0\x9F\x98\x80",
        "\xF4\x8F\xBF\xBF"}) {
    EXPECT_EQ(escaped(text), text);
  }
}

TEST(JsonStringTest, a_surrogate_in_three_bytes_becomes_one_replacement) {
  for (const std::string_view surrogate :
       {"\xED\xA0\x80", "\xED\xAF\xBF", "\xED\xB0\x80", "\xED\xBF\xBF"}) {
    EXPECT_EQ(escaped(surrogate), kReplacement);
  }
}

TEST(JsonStringTest, what_is_not_utf8_becomes_replacements_and_takes_nothing_with_it) {
  const std::string r(kReplacement);
  EXPECT_EQ(escaped("a\x80z"), "a" + r + "z") << "a lone continuation";
  EXPECT_EQ(escaped("a\xC3z"), "a" + r + "z") << "cut after one byte of two";
  EXPECT_EQ(escaped("a\xC3"), "a" + r) << "cut at the end";
  EXPECT_EQ(escaped("\xE2\x82"), r + r);
  EXPECT_EQ(escaped("\xF0\x9F\x98z"), r + r + r + "z");
  EXPECT_EQ(escaped("\xC0\xAF"), r + r) << "overlong";
  EXPECT_EQ(escaped("\xE0\x9F\xBF"), r + r + r) << "overlong";
  EXPECT_EQ(escaped("\xF0\x8F\xBF\xBF"), r + r + r + r) << "overlong";
  EXPECT_EQ(escaped("\xF4\x90\x80\x80"), r + r + r + r) << "beyond U+10FFFF";
  EXPECT_EQ(escaped("\xFF\xFE"), r + r);
  EXPECT_EQ(escaped("\xC3\""), r + "\\\"") << "the quote is still escaped";
}

TEST(JsonStringTest, any_bytes_make_a_valid_string) {
  testing::Random random;
  for (int i = 0; i < 20'000; ++i) {
    JsonWriter json;
    json.string(random.bytes(random.below(40)));
    simdjson::dom::parser parser;
    ASSERT_EQ(parser.parse(std::string(json.text())).error(), simdjson::SUCCESS) << json.text();
  }
}

TEST(JsonStringTest, any_valid_utf8_comes_back_as_it_was) {
  testing::Random random;
  const auto append_character = [](std::string& out, std::uint32_t c) {
    if (c < 0x80) {
      out += static_cast<char>(c);
    } else if (c < 0x800) {
      out += static_cast<char>(0xC0 | c >> 6);
      out += static_cast<char>(0x80 | (c & 63));
    } else if (c < 0x10000) {
      out += static_cast<char>(0xE0 | c >> 12);
      out += static_cast<char>(0x80 | (c >> 6 & 63));
      out += static_cast<char>(0x80 | (c & 63));
    } else {
      out += static_cast<char>(0xF0 | c >> 18);
      out += static_cast<char>(0x80 | (c >> 12 & 63));
      out += static_cast<char>(0x80 | (c >> 6 & 63));
      out += static_cast<char>(0x80 | (c & 63));
    }
  };
  for (int i = 0; i < 20'000; ++i) {
    std::string text;
    for (std::uint64_t n = random.below(30); n > 0; --n) {
      constexpr std::uint32_t kEnds[] = {0x20, 0x80, 0x800, 0x10000, 0x110000};
      const auto c = static_cast<std::uint32_t>(random.below(kEnds[random.below(5)]));
      if (c < 0xD800 || c > 0xDFFF) append_character(text, c);
    }
    ASSERT_EQ(round_trip(text), text);
  }
}

// ---- structure and numbers

TEST(JsonWriterTest, commas_stand_between_members_and_elements_only) {
  JsonWriter json;
  json.begin_object();
  json.key("a");
  json.begin_array();
  json.integer(1);
  json.begin_object();
  json.end_object();
  json.begin_array();
  json.end_array();
  json.null();
  json.string("x,");
  json.end_array();
  json.key("b");
  json.boolean(true);
  json.key("c");
  json.raw("123456789012345678901234567890");
  json.key("");
  json.string("");
  json.end_object();
  EXPECT_EQ(json.text(),
            R"({"a":[1,{},[],null,"x,"],"b":true,"c":123456789012345678901234567890,"":""})");
}

TEST(JsonWriterTest, a_member_is_a_key_and_its_value_of_any_length) {
  for (const std::size_t length : {0, 1, 7, 8, 16, 17, 64, 255, 256, 257, 5'000}) {
    const std::string name(length, '"');
    const std::string text = std::string(length, 'x') + "\n";
    JsonWriter apart;
    JsonWriter at_once;
    for (JsonWriter* json : {&apart, &at_once}) json->begin_object();
    for (int i = 0; i < 2; ++i) {
      apart.key(name);
      apart.string(text);
      apart.key(name);
      apart.integer(-7);
      at_once.member(name, text);
      at_once.member(name, -7);
    }
    EXPECT_EQ(at_once.text(), apart.text());
  }
}

TEST(JsonWriterTest, integers_keep_every_digit) {
  JsonWriter json;
  json.begin_array();
  json.integer(std::numeric_limits<std::int64_t>::min());
  json.integer(std::numeric_limits<std::int64_t>::max());
  json.integer(0);
  json.end_array();
  EXPECT_EQ(json.text(), "[-9223372036854775808,9223372036854775807,0]");
}

TEST(JsonWriterTest, numbers_without_a_json_form_are_null) {
  JsonWriter json;
  json.begin_array();
  json.real(std::nan(""));
  json.real(std::numeric_limits<double>::infinity());
  json.real(-std::numeric_limits<double>::infinity());
  json.end_array();
  EXPECT_EQ(json.text(), "[null,null,null]");
}

TEST(JsonWriterTest, whole_reals_stay_reals) {
  JsonWriter json;
  json.begin_array();
  json.real(3.0);
  json.real(-0.0);
  json.real(1e22);
  json.end_array();
  EXPECT_EQ(json.text(), "[3.0,-0.0,1e+22]");
}

TEST(JsonWriterTest, reals_come_back_as_they_were) {
  testing::Random random;
  for (int i = 0; i < 20'000; ++i) {
    const std::uint64_t bits = random.engine()();
    double value = 0;
    std::memcpy(&value, &bits, sizeof value);
    if (!std::isfinite(value)) continue;
    JsonWriter json;
    json.real(value);
    simdjson::dom::parser parser;
    double read = 0;
    ASSERT_EQ(parser.parse(std::string(json.text())).get(read), simdjson::SUCCESS) << json.text();
    ASSERT_EQ(std::memcmp(&read, &value, sizeof read), 0) << json.text();
  }
}

TEST(JsonWriterTest, a_rollback_forgets_a_value_that_was_half_written) {
  JsonWriter json;
  json.begin_array();
  json.integer(1);
  const std::size_t size = json.size();
  json.begin_object();
  json.key("half");
  json.rollback(size);
  json.integer(2);
  json.end_array();
  EXPECT_EQ(json.text(), "[1,2]");
}

TEST(JsonWriterTest, clear_makes_it_as_new) {
  JsonWriter json;
  json.integer(1);
  json.clear();
  json.integer(2);
  EXPECT_EQ(json.text(), "2");
}

}  // namespace
}  // namespace log_aggregator
