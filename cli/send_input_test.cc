#include "cli/send_input.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "src/testing/seed.h"

namespace log_aggregator::cli {
namespace {

using Kind = InputText::Kind;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// ---- detect_format

InputFormat detected(std::string_view beginning, FormatChoice choice = FormatChoice::automatic) {
  return detect_format(beginning, choice);
}

TEST(DetectFormatTest, what_goes_on_as_json_does_is_json) {
  EXPECT_EQ(detected(R"({"message":"a"})"
                     "\n{"),
            InputFormat::ndjson);
  EXPECT_EQ(detected(" \n{}\n"), InputFormat::ndjson);
  EXPECT_EQ(detected(R"({"a":"}"})"), InputFormat::ndjson);
  EXPECT_EQ(detected("[\n  {"), InputFormat::array);
  EXPECT_EQ(detected("[]"), InputFormat::array);
  EXPECT_EQ(detected("{\n  \"message\":"), InputFormat::objects);
  EXPECT_EQ(detected(R"({"a":{"b":1},)"
                     "\n"),
            InputFormat::objects);
}

TEST(DetectFormatTest, everything_else_is_lines) {
  for (const char* text :
       {"", "\n", "a", "[2025-03-27] {", "{worker} up", "[", "{", "5", "\"a\""}) {
    EXPECT_EQ(detected(text), InputFormat::lines) << text;
  }
}

TEST(DetectFormatTest, a_choice_is_taken_at_its_word) {
  EXPECT_EQ(detected("[{", FormatChoice::lines), InputFormat::lines);
  EXPECT_EQ(detected("x", FormatChoice::ndjson), InputFormat::ndjson);
  EXPECT_EQ(detected(" [1", FormatChoice::json), InputFormat::array);
  EXPECT_EQ(detected("{worker", FormatChoice::json), InputFormat::objects);
}

TEST(DetectFormatTest, names_are_known_again) {
  for (const char* name : {"lines", "ndjson", "array", "objects"}) {
    EXPECT_EQ(input_format_name(*input_format_named(name)), name);
  }
  EXPECT_FALSE(input_format_named("json"));
}

// ---- SendInput

struct Text {
  Kind kind;
  std::string text;
  InputPlace behind;
  bool closed;

  bool operator==(const Text&) const = default;
};

void PrintTo(const Text& text, std::ostream* out) {
  *out << static_cast<int>(text.kind) << ' ' << text.text.substr(0, 80) << " behind "
       << text.behind.offset << '/' << text.behind.number << (text.closed ? "" : ", open");
}

class SendInputTest : public ::testing::Test {
 protected:
  void write(std::string_view content) {
    file_.reset(std::tmpfile());
    content_ = content;
    std::fwrite(content.data(), 1, content.size(), file_.get());
    std::fflush(file_.get());
  }

  // All texts, without the end.
  static std::vector<Text> all(SendInput input) {
    std::vector<Text> texts;
    while (true) {
      const auto text = input.next();
      EXPECT_TRUE(text.ok()) << text.status().message();
      if (!text.ok() || text->kind == Kind::end) return texts;
      texts.push_back({text->kind, std::string(text->text), text->behind, text->closed});
    }
  }

  int descriptor() const { return ::fileno(file_.get()); }

  std::vector<Text> read(InputFormat format, InputPlace from = {},
                         std::size_t read_bytes = SendInput::kReadBytes) {
    return all(SendInput(descriptor(), format, from, content_.size(), read_bytes));
  }

  std::vector<std::string> texts(InputFormat format) {
    std::vector<std::string> found;
    for (Text& text : read(format)) {
      found.push_back(text.kind == Kind::broken ? "BROKEN" : std::move(text.text));
    }
    return found;
  }

  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_{nullptr, std::fclose};
  std::string content_;
};

TEST_F(SendInputTest, lines_keep_their_blanks_and_blank_ones_are_left_out_but_counted) {
  write("a\r\n\n \t\n  b \nc");
  const auto texts = read(InputFormat::lines);
  EXPECT_THAT(texts, ElementsAre(Text{Kind::whole, "a", {3, 1}, true},
                                 Text{Kind::whole, "  b ", {12, 4}, true},
                                 Text{Kind::whole, "c", {13, 5}, false}));
}

TEST_F(SendInputTest, an_empty_input_has_no_texts) {
  for (const char* content : {"", "\n", " \n\r\n ", "\xef\xbb\xbf"}) {
    write(content);
    for (const auto format : {InputFormat::lines, InputFormat::ndjson, InputFormat::objects}) {
      EXPECT_THAT(texts(format), IsEmpty()) << content;
    }
  }
  write(" [ ] \n");
  EXPECT_THAT(texts(InputFormat::array), IsEmpty());
}

TEST_F(SendInputTest, a_byte_order_mark_belongs_to_no_text) {
  write(
      "\xef\xbb\xbf"
      "a\n\xef\xbb\xbf");
  EXPECT_THAT(texts(InputFormat::lines), ElementsAre("a", "\xef\xbb\xbf"));
}

TEST_F(SendInputTest, an_array_is_cut_at_its_own_commas) {
  write(R"( [{"a":"],[\"\\"}, [1,2] ,"x",,5 ] )");
  EXPECT_THAT(texts(InputFormat::array),
              ElementsAre(R"({"a":"],[\"\\"})", "[1,2]", "\"x\"", "", "5"));
}

TEST_F(SendInputTest, objects_are_cut_behind_their_brackets_and_what_is_none_at_its_line) {
  write("{\"a\":\n{}} {\"b\":\"}{\"}\n nonsense \n{}");
  EXPECT_THAT(texts(InputFormat::objects),
              ElementsAre("{\"a\":\n{}}", "{\"b\":\"}{\"}", "nonsense", "{}"));
}

TEST_F(SendInputTest, a_document_that_ends_too_soon_or_goes_on_is_broken_there) {
  for (const char* content : {"[", "[{}", "[{},", "[{},{\"a", "[] x", "[{}]]"}) {
    write(content);
    const auto found = texts(InputFormat::array);
    ASSERT_FALSE(found.empty()) << content;
    EXPECT_EQ(found.back(), "BROKEN") << content;
  }
  for (const char* content : {"{", "{} {\"a\":", "x"}) {
    write(content);
    EXPECT_EQ(texts(InputFormat::objects).back(), "BROKEN") << content;
  }
}

TEST_F(SendInputTest, of_a_text_that_is_too_long_only_the_beginning_is_kept) {
  const std::string longest(SendInput::kMaxBytes, 'x');
  for (const std::size_t read_bytes : {SendInput::kReadBytes, std::size_t{3} << 20}) {
    write(longest + "\n" + longest + "y\n" + longest + longest + longest + "\nz\n");
    const auto found = read(InputFormat::lines, {}, read_bytes);
    ASSERT_EQ(found.size(), 4);
    EXPECT_EQ(found[0].kind, Kind::whole);
    for (const std::size_t i : {1, 2}) {
      EXPECT_EQ(found[i].kind, Kind::too_long);
      EXPECT_TRUE(found[i].text == longest);
    }
    EXPECT_EQ(found[3], (Text{Kind::whole, "z", {content_.size(), 4}, true}));
    EXPECT_EQ(read(InputFormat::lines, found[1].behind, read_bytes).front(), found[2]);
  }
  write("[\"" + longest + longest + "\", 1]");
  const auto found = read(InputFormat::array);
  ASSERT_EQ(found.size(), 2);
  EXPECT_EQ(found[0].kind, Kind::too_long);
  EXPECT_EQ(found[1].text, "1");
}

TEST_F(SendInputTest, a_file_is_read_up_to_where_it_shall_end) {
  write("first\nsecond\n");
  EXPECT_THAT(all(SendInput(descriptor(), InputFormat::lines, {}, 9)),
              ElementsAre(Text{Kind::whole, "first", {6, 1}, true},
                          Text{Kind::whole, "sec", {9, 2}, false}));
  EXPECT_THAT(all(SendInput(descriptor(), InputFormat::lines, {9, 2}, 13)),
              ElementsAre(Text{Kind::whole, "ond", {13, 3}, true}));
}

TEST_F(SendInputTest, a_file_that_became_shorter_is_an_error) {
  write("first\n");
  SendInput input(descriptor(), InputFormat::lines, {}, 100);
  EXPECT_EQ(input.next()->text, "first");
  EXPECT_FALSE(input.next().ok());
}

TEST_F(SendInputTest, a_pipe_gives_what_it_has) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  SendInput input(ends[0], FormatChoice::automatic);
  EXPECT_EQ(input.next()->kind, Kind::nothing_yet);
  ASSERT_EQ(::write(ends[1], "{\"a\":1}\n{", 9), 9);
  EXPECT_EQ(input.next()->text, "{\"a\":1}");
  EXPECT_EQ(input.format(), InputFormat::ndjson);
  EXPECT_EQ(input.next()->kind, Kind::nothing_yet);
  ASSERT_EQ(::write(ends[1], "}", 1), 1);
  ::close(ends[1]);
  const auto last = input.next();
  EXPECT_EQ(last->text, "{}");
  EXPECT_FALSE(last->closed);
  EXPECT_EQ(input.next()->kind, Kind::end);
  ::close(ends[0]);
}

// Whatever the input, and however it is read: from each place that is told on, the same comes.
TEST_F(SendInputTest, from_any_place_on_the_rest_is_the_same) {
  constexpr std::string_view kAlphabet = "[]{}\",\\ \n\n\r,,ab";
  testing::Random random;
  for (int round = 0; round < 2'000; ++round) {
    std::string content = random.one_in(2) ? "[" : "";
    for (std::uint64_t left = random.below(40); left > 0; --left) {
      content += kAlphabet[random.below(kAlphabet.size())];
    }
    for (const auto format :
         {InputFormat::lines, InputFormat::ndjson, InputFormat::array, InputFormat::objects}) {
      if (format == InputFormat::array && content.substr(0, 1) != "[") continue;
      write(content);
      const auto whole = read(format);
      ASSERT_EQ(read(format, {}, 1 + random.below(5)), whole) << content;
      for (std::size_t i = 0; i < whole.size(); ++i) {
        const std::vector<Text> rest(whole.begin() + static_cast<std::ptrdiff_t>(i) + 1,
                                     whole.end());
        if (whole[i].kind == Kind::broken) continue;
        ASSERT_EQ(read(format, whole[i].behind, 1 + random.below(5)), rest) << content;
      }
    }
  }
}

}  // namespace
}  // namespace log_aggregator::cli
