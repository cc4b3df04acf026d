#include "src/base/url.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "src/base/uuid.h"

namespace log_aggregator {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

Endpoint parsed(const std::string& text) {
  const auto endpoint = parse_endpoint(text);
  EXPECT_TRUE(endpoint.ok()) << text << ": " << endpoint.status().message();
  return endpoint.ok() ? *endpoint : Endpoint{};
}
std::string health_url(const std::string& text) { return parsed(text).health_url; }

TEST(EndpointTest, health_takes_the_place_of_the_last_segment) {
  EXPECT_EQ(health_url("http://h/api/logs"), "http://h/api/health");
  EXPECT_EQ(health_url("http://h:8080/api/v2/logs"), "http://h:8080/api/v2/health");
  EXPECT_EQ(health_url("https://h/logs"), "https://h/health");
}

TEST(EndpointTest, a_trailing_slash_a_query_or_no_path_is_handled) {
  EXPECT_EQ(health_url("http://h/api/logs/"), "http://h/api/health");
  EXPECT_EQ(health_url("http://h/api/logs//"), "http://h/api/health");
  EXPECT_EQ(health_url("http://h/api/logs?tenant=a/b"), "http://h/api/health");
  EXPECT_EQ(health_url("http://h/api/logs#top"), "http://h/api/health");
  EXPECT_EQ(health_url("http://h"), "http://h/health");
  EXPECT_EQ(health_url("http://h/"), "http://h/health");
  EXPECT_EQ(health_url("http://h/caf%c3%a9/logs"), "http://h/caf%c3%a9/health");
}

TEST(EndpointTest, the_query_is_sent_and_not_shown) {
  const Endpoint endpoint = parsed("http://h/api/logs?key=secret");
  EXPECT_EQ(endpoint.url, "http://h/api/logs?key=secret");
  EXPECT_EQ(endpoint.shown, "http://h/api/logs");
}

TEST(EndpointTest, user_and_password_are_moved_out_and_decoded) {
  const Endpoint endpoint = parsed("https://us%65r:p%40ss%3Aword@h:1/api/logs");
  EXPECT_TRUE(endpoint.has_credentials);
  EXPECT_EQ(endpoint.user, "user");
  EXPECT_EQ(endpoint.password, "p@ss:word");
  EXPECT_EQ(endpoint.url, "https://h:1/api/logs");
  EXPECT_EQ(endpoint.health_url, "https://h:1/api/health");
  EXPECT_FALSE(parsed("http://h/api/logs").has_credentials);
}

TEST(EndpointTest, addresses_of_ipv6_are_taken) {
  EXPECT_EQ(health_url("http://[::1]:8080/api/logs"), "http://[::1]:8080/api/health");
}

TEST(EndpointTest, what_is_no_http_url_is_refused) {
  for (const std::string text :
       {"", "h", "/api/logs", "h:8080/api", "ftp://h/api", "file:///etc/passwd", "http://",
        "http:///api", "http:/h/api", "http://h:99999/", "http://h:x/", "http://h/a b",
        " http://h/", "http://h/\n", "http://h/\x7F", "http://[::1/api"}) {
    const auto endpoint = parse_endpoint(text);
    EXPECT_FALSE(endpoint.ok()) << text;
    EXPECT_EQ(endpoint.status().code(), StatusCode::invalid_argument);
    EXPECT_THAT(endpoint.status().message(), HasSubstr("api_endpoint"));
  }
}

TEST(EndpointTest, a_nul_is_refused) {
  EXPECT_FALSE(parse_endpoint(std::string("http://h/\0/logs", 15)).ok());
}

TEST(EndpointTest, no_message_repeats_the_password) {
  for (const std::string text : {"ftp://u:hunter2@h/", "http://u:hunter2@h:99999/",
                                 "http://u:hunter2 @h/", "http://u:hunter2@", "u:hunter2@h"}) {
    const auto endpoint = parse_endpoint(text);
    ASSERT_FALSE(endpoint.ok()) << text;
    EXPECT_THAT(endpoint.status().message(), Not(HasSubstr("hunter2")));
  }
}

TEST(UuidTest, has_the_shape_of_version_four_and_is_new_each_time) {
  const std::string uuid = make_uuid();
  EXPECT_THAT(uuid,
              MatchesRegex("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"));
  EXPECT_NE(uuid, make_uuid());
}

}  // namespace
}  // namespace log_aggregator
