#include "src/deliver/redact.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "log_aggregator/json_writer.h"
#include "src/testing/seed.h"

namespace log_aggregator {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class SafeExcerptTest : public ::testing::Test {
 protected:
  void sent(const std::string& record) { records_.push_back(record); }
  void sent_message(std::string_view message) {
    JsonWriter json;
    json.begin_object();
    json.key("message");
    json.string(message);
    json.end_object();
    sent(std::string(json.text()));
  }

  std::string excerpt(std::string_view text) const {
    std::vector<RecordView> views;
    for (const std::string& record : records_) views.push_back({.payload = record});
    return safe_excerpt(text, headers_, views);
  }

  Headers headers_;

 private:
  std::vector<std::string> records_;
};

// ---- what is shown

TEST_F(SafeExcerptTest, plain_text_is_shown_as_it_is) {
  EXPECT_EQ(excerpt("no such \"index\": a\\b, caf\xC3\xA9"),
            "no such \"index\": a\\b, caf\xC3\xA9");
}

TEST_F(SafeExcerptTest, what_is_longer_than_200_characters_is_cut) {
  EXPECT_EQ(excerpt(std::string(200, 'x')), std::string(200, 'x'));
  EXPECT_EQ(excerpt(std::string(201, 'x')), std::string(200, 'x') + "...");
}

TEST_F(SafeExcerptTest, characters_are_counted_and_not_bytes) {
  std::string text;
  for (int i = 0; i < 200; ++i) text += "\xF0\x9F\x98\x80";
  EXPECT_EQ(excerpt(text), text);
  EXPECT_EQ(excerpt(text + "x"), text + "...");
}

TEST_F(SafeExcerptTest, bytes_that_are_no_characters_do_not_make_the_line_long) {
  EXPECT_LE(excerpt(std::string(60'000, '\x80')).size(), 3 * 200U + 3);
  EXPECT_LE(excerpt(std::string(60'000, '\xF0')).size(), 3 * 200U + 3);
}

TEST_F(SafeExcerptTest, nothing_that_a_terminal_obeys_comes_through) {
  EXPECT_EQ(excerpt("a\nb\x1B[2Jc\x7F"), "a\\nb\\u001b[2Jc?");
  EXPECT_EQ(excerpt("a\xC2\x9B"
                    "2J"),
            "a?2J")
      << "a C1 control";
  EXPECT_EQ(excerpt("a\xE2\x80\xAE"
                    "b\xE2\x81\xA6"
                    "c\xD8\x9C"
                    "d"),
            "a?b?c?d")
      << "marks that reorder text";
  EXPECT_EQ(excerpt("\xE2\x80\x9Cquoted\xE2\x80\xA6\xE2\x80\x9D"),
            "\xE2\x80\x9Cquoted\xE2\x80\xA6\xE2\x80\x9D")
      << "punctuation stays";
}

TEST_F(SafeExcerptTest, controls_cannot_hide_behind_stray_bytes) {
  EXPECT_THAT(excerpt("\xC2\x9B\x80"), Not(HasSubstr("\xC2\x9B")));
  EXPECT_THAT(excerpt("\xE2\x80\xAE\x80"), Not(HasSubstr("\xE2\x80\xAE")));
}

// ---- credentials

TEST_F(SafeExcerptTest, header_values_and_their_tokens_are_masked) {
  headers_ = {{"Authorization", "Bearer abc123"}, {"X-Key", "k3y"}};
  EXPECT_EQ(excerpt("got Bearer abc123, token abc123 and k3y"), "got ***, token *** and ***");
}

TEST_F(SafeExcerptTest, user_and_password_of_basic_authentication_are_masked) {
  headers_ = {basic_auth("alice", "open sesame")};
  EXPECT_EQ(excerpt("alice:open sesame is not known"), "***:*** is not known");
  EXPECT_THAT(excerpt(headers_[0].value), StartsWith("***"));
}

TEST_F(SafeExcerptTest, very_short_secrets_do_not_mask_every_other_word) {
  headers_ = {basic_auth("a", "is")};
  EXPECT_EQ(excerpt("this is a test"), "this is a test");
}

TEST_F(SafeExcerptTest, a_password_is_masked_in_its_json_form_too) {
  headers_ = {basic_auth("alice", "a\"b\\c/d\xC3\xA9")};
  EXPECT_EQ(excerpt(R"({"password":"a\"b\\c\/d\u00e9"})"), R"({"password":"***"})");
}

TEST_F(SafeExcerptTest, a_token_that_the_server_has_cut_is_masked) {
  headers_ = {{"Authorization", "Bearer 0123456789abcdef"}};
  EXPECT_EQ(excerpt("token 0123456789ab... is old"), "token ***... is old");
}

// ---- what was logged

TEST_F(SafeExcerptTest, messages_extras_exceptions_and_stacks_are_masked) {
  sent(R"({"message":"first secret","extra":{"card":"4111 1111","list":["second secret"]},)"
       R"("exception":"third secret","stack":"fourth secret"})");
  EXPECT_EQ(excerpt("first secret, 4111 1111, second secret, third secret, fourth secret."),
            "***, ***, ***, ***, ***.");
}

TEST_F(SafeExcerptTest, values_of_up_to_seven_characters_are_not_masked) {
  sent_message("1234567");
  EXPECT_EQ(excerpt("error 1234567"), "error 1234567");
}

TEST_F(SafeExcerptTest, long_numbers_are_masked) {
  sent(R"({"message":"m","extra":{"account":123456789,"small":42}})");
  EXPECT_EQ(excerpt("account 123456789 of 42"), "account *** of 42");
}

TEST_F(SafeExcerptTest, other_fields_of_the_record_are_shown) {
  sent(R"({"message":"secret message","logger_name":"shop.checkout"})");
  EXPECT_EQ(excerpt("no stream for shop.checkout"), "no stream for shop.checkout");
}

TEST_F(SafeExcerptTest, a_message_is_masked_in_whatever_form_a_server_repeats_it) {
  sent_message("caf\xC3\xA9 \"x\" \xF0\x9F\x98\x80 </b>\n");
  EXPECT_EQ(excerpt("caf\xC3\xA9 \"x\" \xF0\x9F\x98\x80 </b>\n!"), "***!");
  EXPECT_EQ(excerpt(R"(caf\u00e9 \"x\" \ud83d\ude00 </b>\n!)"), "***!");
  EXPECT_EQ(excerpt(R"(caf\u00E9 \u0022x\u0022 \uD83D\uDE00 \u003c\/b\u003e\u000A!)"), "***!");
}

TEST_F(SafeExcerptTest, a_message_that_the_server_has_cut_is_masked) {
  sent_message("the patient's name is Smith");
  EXPECT_EQ(excerpt("bad record: the patient's name is Sm"), "bad record: ***");
  EXPECT_EQ(excerpt("bad record: the patient's..."), "bad record: ***...");
}

TEST_F(SafeExcerptTest, a_message_longer_than_what_is_looked_at_is_masked) {
  std::string message;
  for (int i = 0; message.size() < 200'000; ++i) message += "word" + std::to_string(i) + ' ';
  sent_message(message);
  EXPECT_THAT(excerpt("bad record: " + message), StartsWith("bad record: ***"));
}

TEST_F(SafeExcerptTest, overlapping_values_are_masked_together) {
  sent_message("abcdefgh");
  sent_message("efghijkl");
  EXPECT_EQ(excerpt("<abcdefghijkl>"), "<***>");
}

TEST_F(SafeExcerptTest, records_that_the_parser_cannot_take_are_masked_too) {
  sent(R"({"message":"first \"secret\"","extra":{"n":123456789012345678901234567890}})");
  EXPECT_EQ(excerpt("<first \"secret\"> 123456789012345678901234567890"), "<***> ***");
  sent(R"({"message":"unfinished busin)");
  EXPECT_EQ(excerpt("unfinished business"), "***ess");
}

TEST_F(SafeExcerptTest, deeply_nested_extras_are_masked) {
  sent("{\"message\":\"m\",\"extra\":{\"deep\":" + std::string(2000, '[') + "\"very deep secret\"" +
       std::string(2000, ']') + "}}");
  EXPECT_EQ(excerpt("very deep secret"), "***");
}

TEST_F(SafeExcerptTest, repetitive_texts_and_secrets_are_masked_in_a_short_time) {
  const auto before = std::chrono::steady_clock::now();
  sent_message(std::string(30'000, 'a') + 'b');
  sent_message(std::string(60'000, 'a'));
  EXPECT_EQ(excerpt(std::string(64 << 10, 'a')), "***");
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(2));
}

TEST_F(SafeExcerptTest, full_batches_are_masked_in_a_short_time) {
  testing::Random random;
  std::string answer;
  while (answer.size() < 64 << 10) answer += std::to_string(random.below(1'000'000'000)) + ", ";
  for (int i = 0; i < 1000; ++i) sent_message("user " + std::to_string(i) + " logged in");
  const auto before = std::chrono::steady_clock::now();
  excerpt(answer);
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(2));
}

// ---- under chance

TEST_F(SafeExcerptTest, any_bytes_become_one_short_line_without_controls) {
  testing::Random random;
  sent_message("a message of the batch");
  headers_ = {basic_auth("alice", "secret")};
  for (int i = 0; i < 3'000; ++i) {
    std::string text = random.bytes(random.below(600));
    if (random.one_in(3)) text.insert(random.below(text.size() + 1), "\\ud83d\\u00");
    if (random.one_in(3)) text.insert(random.below(text.size() + 1), "a message of the batch");
    const std::string line = excerpt(text);
    ASSERT_THAT(line, Not(HasSubstr("a message of")));
    ASSERT_LE(line.size(), 200U * 6 + 3);
    for (const unsigned char c : line) ASSERT_TRUE(c >= 0x20 && c != 0x7F);
  }
}

TEST_F(SafeExcerptTest, any_bytes_as_records_are_taken) {
  testing::Random random;
  for (int i = 0; i < 1'000; ++i) {
    const std::string record = random.bytes(random.below(100));
    const std::vector<RecordView> views{{.payload = record}};
    safe_excerpt(random.bytes(100), {{"Authorization", "Basic " + random.bytes(10)}}, views);
  }
}

}  // namespace
}  // namespace log_aggregator
