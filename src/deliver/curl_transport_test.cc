#include "src/deliver/curl_transport.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <map>
#include <thread>

#include "src/testing/loopback_server.h"
#include "src/testing/seed.h"

namespace log_aggregator {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::Received;
using testing::Reply;
using ::testing::SizeIs;

class CurlTransportTest : public ::testing::Test {
 protected:
  Request get(const std::string& url) const {
    return {.method = Request::Method::get,
            .url = url,
            .headers = {},
            .body = nullptr,
            .timeout = kTimeout};
  }
  Request post(const std::string& url, std::string body) {
    return {.method = Request::Method::post,
            .url = url,
            .headers = {},
            .body = &bodies_.emplace_back(std::move(body)),
            .timeout = kTimeout};
  }
  Response fetch(Request request) {
    transport_->submit(std::move(request));
    return wait();
  }
  Response wait() {
    for (;;) {
      if (auto response = transport_->poll(real_clock().now() + seconds(30))) return *response;
    }
  }
  milliseconds elapsed() const {
    return std::chrono::duration_cast<milliseconds>(real_clock().now() - begun_);
  }

  static constexpr milliseconds kTimeout{5'000};
  std::deque<TextBody> bodies_;
  const Clock::TimePoint begun_ = real_clock().now();
  Options options_;
  std::unique_ptr<Transport> transport_ = make_curl_transport(options_);
  testing::LoopbackServer server_{[](const Received&) { return Reply{}; }};
};

TEST_F(CurlTransportTest, a_get_brings_status_and_body) {
  server_.serve_with(
      [](const Received&) { return Reply{.status = 203, .body = "hello", .headers = {}}; });
  const Response response = fetch(get(server_.url("/api/health")));
  EXPECT_EQ(response.status, 203);
  EXPECT_EQ(response.body, "hello");
  EXPECT_EQ(response.error, "");
  EXPECT_EQ(server_.received()[0].method, "GET");
  EXPECT_EQ(server_.received()[0].path, "/api/health");
}

TEST_F(CurlTransportTest, a_post_carries_its_body_and_headers) {
  std::string body(2'000'000, 'x');
  body[7] = '\0';
  Request request = post(server_.url("/api/logs"), body);
  request.headers = {{"Content-Type", "application/x-ndjson"}, {"X-Empty", ""}};
  EXPECT_EQ(fetch(request).status, 200);
  const Received received = server_.received()[0];
  EXPECT_EQ(received.method, "POST");
  EXPECT_EQ(received.body, body);
  EXPECT_EQ(received.header("content-type"), "application/x-ndjson");
  EXPECT_EQ(received.header("content-length"), "2000000");
  EXPECT_EQ(received.headers.count("expect"), 0U);
  EXPECT_THAT(received.header("user-agent"), HasSubstr("log-aggregator-handler/"));
}

TEST_F(CurlTransportTest, headers_of_one_request_do_not_reach_the_next) {
  Request request = post(server_.url("/"), "a");
  request.headers = {{"Authorization", "Bearer secret"}};
  fetch(request);
  fetch(get(server_.url("/")));
  EXPECT_EQ(server_.received()[1].headers.count("authorization"), 0U);
  EXPECT_EQ(server_.received()[1].body, "");
}

TEST_F(CurlTransportTest, connections_are_kept_and_new_ones_told) {
  EXPECT_TRUE(fetch(get(server_.url("/"))).new_connection);
  EXPECT_FALSE(fetch(post(server_.url("/"), "a")).new_connection);
  EXPECT_FALSE(fetch(post(server_.url("/"), "b")).new_connection);
  server_.serve_with([](const Received&) {
    return Reply{.body = {}, .headers = {}, .way = Reply::Way::answer_and_close};
  });
  EXPECT_FALSE(fetch(post(server_.url("/"), "c")).new_connection);
  EXPECT_TRUE(fetch(post(server_.url("/"), "d")).new_connection);
  EXPECT_EQ(server_.connections(), 2);
}

// However long the server takes: loopback is near.
TEST_F(CurlTransportTest, the_round_trip_is_that_of_the_network) {
  server_.serve_with([this](const Received&) {
    while (elapsed() < milliseconds(100)) std::this_thread::yield();
    return Reply{};
  });
  const Response response = fetch(post(server_.url("/"), "a"));
  EXPECT_GT(response.round_trip.count(), 0);
  EXPECT_LT(response.round_trip, milliseconds(20));
}

TEST_F(CurlTransportTest, retry_after_is_told_whatever_the_case_of_its_name) {
  for (const std::string name : {"Retry-After", "retry-after", "RETRY-AFTER"}) {
    server_.serve_with([&](const Received&) {
      return Reply{.status = 429, .body = {}, .headers = {{name, "  17 "}}};
    });
    EXPECT_EQ(fetch(get(server_.url("/"))).retry_after, "17");
  }
  server_.serve_with([](const Received&) { return Reply{}; });
  EXPECT_EQ(fetch(get(server_.url("/"))).retry_after, "") << "it is forgotten with its answer";
}

TEST_F(CurlTransportTest, a_refused_connection_is_an_error) {
  const Response response = fetch(get(testing::refusing_url("/")));
  EXPECT_EQ(response.status, 0);
  EXPECT_THAT(response.error, Not(IsEmpty()));
}

TEST_F(CurlTransportTest, a_reset_is_an_error_and_the_next_request_works) {
  server_.serve_with(
      [](const Received&) { return Reply{.body = {}, .headers = {}, .way = Reply::Way::reset}; });
  EXPECT_EQ(fetch(post(server_.url("/"), "a")).status, 0);
  server_.serve_with([](const Received&) { return Reply{}; });
  EXPECT_EQ(fetch(post(server_.url("/"), "b")).status, 200);
}

TEST_F(CurlTransportTest, garbage_instead_of_http_is_an_error) {
  for (const std::string garbage :
       {"SSH-2.0-OpenSSH_9.2\r\n", "\x15\x03\x01", "HTTP/1.1 2x0 \r\n\r\n", ""}) {
    server_.serve_with([&](const Received&) {
      return Reply{.body = garbage, .headers = {}, .way = Reply::Way::raw};
    });
    const Response response = fetch(post(server_.url("/"), "a"));
    EXPECT_EQ(response.status, 0) << garbage;
    EXPECT_THAT(response.error, Not(IsEmpty()));
    EXPECT_EQ(response.body, "");
  }
}

TEST_F(CurlTransportTest, an_answer_that_ends_too_early_is_an_error) {
  server_.serve_with([](const Received&) {
    return Reply{.body = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
                 .headers = {},
                 .way = Reply::Way::raw};
  });
  const Response response = fetch(post(server_.url("/"), "a"));
  EXPECT_EQ(response.status, 0);
  EXPECT_EQ(response.body, "");
}

TEST_F(CurlTransportTest, an_answer_that_ends_within_its_headers_is_an_error) {
  for (const std::string_view head : {"HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Le",
                                      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nX: y\r\n"}) {
    server_.serve_with([head](const Received&) {
      return Reply{.body = std::string(head), .headers = {}, .way = Reply::Way::raw};
    });
    const Response response = fetch(post(server_.url("/"), "a"));
    EXPECT_EQ(response.status, 0) << head;
    EXPECT_NE(response.error, "") << head;
  }
}

TEST_F(CurlTransportTest, a_hanging_server_costs_the_timeout) {
  server_.serve_with(
      [](const Received&) { return Reply{.body = {}, .headers = {}, .way = Reply::Way::hang}; });
  Request request = post(server_.url("/"), "a");
  request.timeout = milliseconds(150);
  EXPECT_EQ(fetch(request).status, 0);
  EXPECT_GE(elapsed(), milliseconds(150));
  EXPECT_LT(elapsed(), seconds(4));
}

TEST_F(CurlTransportTest, the_timeout_is_the_total_also_where_bytes_keep_coming) {
  server_.serve_with([](const Received&) {
    return Reply{.body = "hello", .headers = {}, .way = Reply::Way::drip};
  });
  Request request = post(server_.url("/"), "a");
  request.timeout = milliseconds(1'300);
  EXPECT_EQ(fetch(request).status, 0);
  EXPECT_LT(elapsed(), seconds(5));
}

TEST_F(CurlTransportTest, redirects_are_not_followed) {
  server_.serve_with([this](const Received&) {
    return Reply{.status = 302, .body = {}, .headers = {{"Location", server_.url("/elsewhere")}}};
  });
  EXPECT_EQ(fetch(post(server_.url("/"), "a")).status, 302);
  EXPECT_THAT(server_.received(), SizeIs(1));
}

TEST_F(CurlTransportTest, what_is_not_http_is_refused) {
  EXPECT_EQ(fetch(get("file:///etc/passwd")).status, 0);
}

TEST_F(CurlTransportTest, a_long_answer_is_cut) {
  server_.serve_with(
      [](const Received&) { return Reply{.body = std::string(5 << 20, 'x'), .headers = {}}; });
  EXPECT_EQ(fetch(get(server_.url("/"))).body.size(), std::size_t{4} << 20);
}

TEST_F(CurlTransportTest, a_wake_before_the_first_poll_ends_it) {
  transport_->wake();
  EXPECT_FALSE(transport_->poll(real_clock().now() + seconds(30)));
  EXPECT_LT(elapsed(), seconds(10));
}

TEST_F(CurlTransportTest, a_wake_between_polls_ends_the_next) {
  transport_->poll(real_clock().now());
  transport_->wake();
  transport_->poll(real_clock().now() + seconds(30));
  EXPECT_LT(elapsed(), seconds(10));
}

TEST_F(CurlTransportTest, a_wake_from_another_thread_ends_a_poll) {
  std::atomic<bool> woken{false};
  std::thread other([&] {
    woken = true;
    transport_->wake();
  });
  while (!woken) transport_->poll(real_clock().now() + seconds(30));
  other.join();
  EXPECT_LT(elapsed(), seconds(10));
}

TEST_F(CurlTransportTest, a_wake_does_not_end_the_request_under_way) {
  std::atomic<bool> answer_now{false};
  server_.serve_with([&](const Received&) {
    while (!answer_now) std::this_thread::yield();
    return Reply{};
  });
  transport_->submit(post(server_.url("/"), "a"));
  transport_->wake();
  EXPECT_FALSE(transport_->poll(real_clock().now() + seconds(30)));
  answer_now = true;
  EXPECT_EQ(wait().status, 200);
}

TEST_F(CurlTransportTest, a_poll_ends_at_its_time) {
  EXPECT_FALSE(transport_->poll(real_clock().now() + milliseconds(20)));
  EXPECT_GE(elapsed(), milliseconds(20));
  EXPECT_LT(elapsed(), seconds(10));
}

TEST_F(CurlTransportTest, a_cancelled_request_never_answers_and_the_next_one_works) {
  server_.serve_with([](const Received& request) {
    return Reply{.body = {},
                 .headers = {},
                 .way = request.body == "a" ? Reply::Way::hang : Reply::Way::answer};
  });
  transport_->submit(post(server_.url("/"), "a"));
  while (server_.received().empty()) transport_->poll(real_clock().now() + milliseconds(1));
  transport_->cancel();
  EXPECT_TRUE(server_.wait_for_hangups(1));
  EXPECT_FALSE(transport_->poll(real_clock().now()));
  EXPECT_EQ(fetch(post(server_.url("/"), "b")).status, 200);
}

// The server has closed it meanwhile, as servers do with idle ones. What was read of the body is
// lost with it.
TEST_F(CurlTransportTest, a_kept_connection_that_is_dead_costs_a_new_one_and_no_byte_of_the_body) {
  fetch(get(server_.url("/")));
  std::atomic<int> posts{0};
  server_.serve_with([&](const Received&) {
    const bool first = posts++ == 0;
    return Reply{.body = {}, .headers = {}, .way = first ? Reply::Way::raw : Reply::Way::answer};
  });
  testing::Random random;
  const std::string body = random.bytes(2'000'000);
  const Response response = fetch(post(server_.url("/"), body));
  EXPECT_EQ(response.status, 200);
  EXPECT_TRUE(response.new_connection);
  ASSERT_THAT(server_.received(), SizeIs(3));
  EXPECT_EQ(server_.received()[1].body, body);
  EXPECT_EQ(server_.received()[2].body, body);
}

TEST_F(CurlTransportTest, several_requests_are_under_way_and_answers_say_whose_they_are) {
  std::atomic<bool> answer_first{false};
  server_.serve_with([&](const Received& request) {
    while (request.body == "first" && !answer_first) std::this_thread::yield();
    return Reply{.body = request.body, .headers = {}};
  });
  const std::uint64_t first = transport_->submit(post(server_.url("/"), "first"));
  const std::uint64_t second = transport_->submit(post(server_.url("/"), "second"));
  const std::uint64_t third = transport_->submit(post(server_.url("/"), "third"));
  std::map<std::uint64_t, std::string> answers;
  for (int i = 0; i < 3; ++i) {
    const Response response = wait();
    EXPECT_EQ(response.status, 200);
    answers[response.request] = response.body;
    if (i == 1) answer_first = true;
  }
  EXPECT_EQ(answers, (std::map<std::uint64_t, std::string>{
                         {first, "first"}, {second, "second"}, {third, "third"}}));
  EXPECT_FALSE(fetch(post(server_.url("/"), "fourth")).new_connection);
  EXPECT_EQ(server_.connections(), 3);
}

TEST_F(CurlTransportTest, one_that_fails_does_not_touch_the_others) {
  server_.serve_with([&](const Received& request) {
    const bool bad = request.body == "bad";
    return Reply{.body = {}, .headers = {}, .way = bad ? Reply::Way::reset : Reply::Way::answer};
  });
  const std::uint64_t bad = transport_->submit(post(server_.url("/"), "bad"));
  transport_->submit(post(server_.url("/"), "good"));
  for (int i = 0; i < 2; ++i) {
    const Response response = wait();
    EXPECT_EQ(response.status, response.request == bad ? 0 : 200);
  }
}

TEST_F(CurlTransportTest, it_can_be_destroyed_with_a_request_under_way) {
  server_.serve_with(
      [](const Received&) { return Reply{.body = {}, .headers = {}, .way = Reply::Way::hang}; });
  transport_->submit(post(server_.url("/"), "a"));
  while (server_.received().empty()) transport_->poll(real_clock().now() + milliseconds(1));
  transport_.reset();
  EXPECT_TRUE(server_.wait_for_hangups(1));
}

}  // namespace
}  // namespace log_aggregator
