#include "src/handler/feed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <set>
#include <string>

#include "src/testing/loopback_server.h"
#include "src/testing/sent_records.h"

namespace log_aggregator {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::LoopbackServer;
using testing::Received;
using testing::Reply;
using ::testing::SizeIs;

constexpr const char* kJournal = "6f1c0f6e-0b57-4c39-9f5b-7f0f3a6d2c11";

std::string record(int number) {
  return R"({"message":"m","number":)" + std::to_string(number) + "}";
}

Reply reply(int status, std::string body = "") {
  Reply answer;
  answer.status = status;
  answer.body = std::move(body);
  return answer;
}

class FeedTest : public ::testing::Test {
 protected:
  void start(const LoopbackServer::Serve& answer_to_post, std::uint64_t settled_through = 0) {
    server_ = std::make_unique<LoopbackServer>([answer_to_post](const Received& request) {
      if (request.method == "GET") return reply(200, R"({"batch":{"max_records":10}})");
      return answer_to_post(request);
    });
    Options options;
    options.api_endpoint = server_->url("/api/logs");
    options.queue_bytes = 64 << 10;
    options.flush_interval = seconds(20);  // hurry() decides
    options.retry_delay = std::chrono::milliseconds(1);
    auto made = Feed::create(std::move(options), {kJournal, settled_through});
    ASSERT_TRUE(made.ok()) << made.status().message();
    feed_ = std::move(*made);
  }

  void offer(int first, int count) {
    for (int number = first; number < first + count; ++number) {
      while (!feed_->offer(record(number))) feed_->wait_for_change(deadline_);
    }
    feed_->hurry();
  }

  bool wait_until_settled(std::uint64_t through) {
    while (feed_->progress().settled_through < through) {
      if (real_clock().now() > deadline_) return false;
      feed_->wait_for_change(deadline_);
    }
    return true;
  }

  std::vector<Received> posts() const {
    std::vector<Received> posts;
    for (Received& each : server_->received()) {
      if (each.method == "POST") posts.push_back(std::move(each));
    }
    return posts;
  }

  const Clock::TimePoint deadline_ = real_clock().now() + seconds(20);
  std::unique_ptr<LoopbackServer> server_;
  std::unique_ptr<Feed> feed_;
};

TEST_F(FeedTest, sends_under_the_journal_and_the_numbers_that_it_was_given) {
  start([](const Received&) { return Reply{}; }, 41);
  offer(42, 3);
  ASSERT_TRUE(wait_until_settled(44));
  EXPECT_EQ(posts().front().header("log-aggregator-journal"), kJournal);
  EXPECT_THAT(posts().front().header("log-aggregator-sequence"), HasSubstr("42-"));
  EXPECT_EQ(feed_->progress().pending, 0);
}

TEST_F(FeedTest, a_full_queue_takes_nothing_and_loses_nothing) {
  std::atomic<bool> open{false};
  start([&open](const Received&) { return reply(open ? 200 : 503); });
  int offered = 0;
  while (feed_->offer(record(offered + 1))) ++offered;
  const std::uint64_t before = feed_->progress().pending;
  EXPECT_EQ(before, offered);
  open = true;
  offer(offered + 1, 100);
  ASSERT_TRUE(wait_until_settled(offered + 100));
  EXPECT_EQ(feed_->progress().refused, 0);
}

TEST_F(FeedTest, what_refuses_the_request_as_such_is_tried_again_and_drops_nothing) {
  for (const int status : {302, 401, 403, 404}) {
    std::atomic<int> refusals{0};
    start([&](const Received&) { return reply(++refusals <= 5 ? status : 200); });
    offer(1, 3);
    ASSERT_TRUE(wait_until_settled(3)) << status;
    EXPECT_EQ(feed_->progress().refused, 0) << status;
    EXPECT_THAT(feed_->progress().last_error, HasSubstr(std::to_string(status)));
    feed_.reset();
  }
}

TEST_F(FeedTest, records_that_the_api_names_as_bad_are_counted_and_no_notice_takes_a_number) {
  start([](const Received& request) {
    if (request.header("log-aggregator-sequence") != "1-3") return Reply{};
    return reply(400, R"({"stored":2,"duplicates":0,"errors":[{"index":1,"reason":"bad"}]})");
  });
  for (int number = 1; number <= 3; ++number) ASSERT_TRUE(feed_->offer(record(number)));
  feed_->hurry();
  ASSERT_TRUE(wait_until_settled(3));
  EXPECT_EQ(feed_->progress().refused, 1);
  offer(4, 1);
  ASSERT_TRUE(wait_until_settled(4));
  feed_.reset();
  std::vector<std::string> sequences;
  for (const Received& post : posts()) {
    sequences.push_back(post.header("log-aggregator-sequence"));
  }
  EXPECT_THAT(sequences, ElementsAre("1-3", "4-4"));
}

TEST_F(FeedTest, ends_at_once_and_without_a_word_whatever_is_left) {
  server_ = std::make_unique<LoopbackServer>([](const Received&) {
    Reply none;
    none.way = Reply::Way::hang;
    return none;
  });
  Options options;
  options.api_endpoint = server_->url("/api/logs");
  std::atomic<int> reports{0};
  options.report = [&](std::string_view) { ++reports; };
  auto made = Feed::create(std::move(options), {kJournal, 0});
  ASSERT_TRUE(made.ok());
  feed_ = std::move(*made);
  offer(1, 10);
  ASSERT_TRUE(server_->wait_for_requests(1));
  EXPECT_EQ(feed_->progress().settled_through, 0);
  feed_.reset();
  EXPECT_EQ(reports, 0);
  EXPECT_THAT(server_->received(), SizeIs(1));
}

TEST(FeedCreateTest, says_what_is_wrong_with_an_option) {
  EXPECT_EQ(Feed::create({}, {kJournal, 0}).status().code(), StatusCode::invalid_argument);
}

}  // namespace
}  // namespace log_aggregator
