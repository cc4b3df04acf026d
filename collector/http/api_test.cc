#include "collector/http/api.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <utility>

namespace log_aggregator::collector {
namespace {

using testing::HasSubstr;

// Answers at once what the test sets, and remembers what it was given.
class FakeStore : public Store {
 public:
  void append(Batch batch, Done done) override {
    const std::size_t count = batch.records.size();
    last_batch = std::move(batch);
    done(append_status.ok() ? Appended{{}, count, 0} : Appended{append_status, 0, 0});
  }
  void listen(Listener new_listener) override { listener = std::move(new_listener); }
  Result<std::int64_t> last_id() override { return static_cast<std::int64_t>(records.size()); }
  Result<std::optional<StoredRecord>> find(std::int64_t id) override {
    if (!query_status.ok()) return query_status;
    const bool there = id >= 1 && id <= static_cast<std::int64_t>(records.size());
    return there ? std::optional(records[static_cast<std::size_t>(id - 1)]) : std::nullopt;
  }
  Result<std::vector<StoredRecord>> read_after(std::int64_t id,
                                               std::size_t /*most_bytes*/) override {
    return std::vector(records.begin() + static_cast<std::ptrdiff_t>(id), records.end());
  }
  Result<std::vector<HistogramCount>> histogram(const HistogramQuery& query) override {
    last_histogram_query = query;
    if (!query_status.ok()) return query_status;
    return counts;
  }
  Result<Page> query(const Query& query) override {
    last_query = query;
    if (!query_status.ok()) return query_status;
    return page;
  }
  Result<GapsPage> gaps(const GapsQuery& query) override {
    last_gaps_query = query;
    if (!query_status.ok()) return query_status;
    return GapsPage();
  }

  std::uint64_t size_bytes() const override { return 4'096; }

  Status append_status;
  Status query_status;
  Page page;
  Batch last_batch;
  Query last_query;
  HistogramQuery last_histogram_query;
  std::vector<StoredRecord> records;  // with the ids 1, 2, ...
  std::vector<HistogramCount> counts;
  Listener listener;
  GapsQuery last_gaps_query;
};

HttpResponse ask(Api& api, HttpRequest request) {
  std::promise<HttpResponse> promise;
  auto future = promise.get_future();
  api.handle(std::move(request),
             [&](HttpResponse answer) { promise.set_value(std::move(answer)); });
  return future.get();
}

HttpRequest request(std::string method, std::string path, HttpHeaders headers = {},
                    std::string body = "") {
  HttpRequest made;
  made.method = std::move(method);
  made.path = std::move(path);
  made.headers = std::move(headers);
  made.headers.emplace_back("Host", "localhost");
  made.body = std::move(body);
  return made;
}

const HttpHeaders kJson = {{"Content-Type", "application/json"}};

class ApiTest : public testing::Test {
 protected:
  FakeStore store_;
  Api api_{store_, {}, "1.2.3"};
};

TEST_F(ApiTest, HealthNamesVersionAndLimits) {
  const HttpResponse answer = ask(api_, request("GET", "/api/health"));
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body,
            R"({"status":"ok","version":"1.2.3","batch":{"max_records":10000,"max_bytes":8388608},)"
            R"("formats":["array","ndjson"],"encodings":["zstd","gzip"]})");
}

TEST_F(ApiTest, RecordsGoToTheStore) {
  EXPECT_EQ(ask(api_, request("POST", "/api/logs", kJson, R"({"message":"m"})")).status, 200);
  EXPECT_EQ(store_.last_batch.records.size(), 1);
}

TEST_F(ApiTest, AStoreThatFailsIs503) {
  store_.append_status = Status::unavailable("disk full");
  store_.query_status = Status::unavailable("disk gone");
  EXPECT_EQ(ask(api_, request("POST", "/api/logs", kJson, R"({"message":"m"})")).status, 503);
  const HttpResponse answer = ask(api_, request("GET", "/api/logs"));
  EXPECT_EQ(answer.status, 503);
  EXPECT_THAT(answer.body, HasSubstr("disk gone"));
}

TEST_F(ApiTest, QueriesGoToTheStoreWithTheirParameters) {
  HttpRequest made = request("GET", "/api/logs");
  made.query = "limit=5";
  EXPECT_EQ(ask(api_, std::move(made)).status, 200);
  EXPECT_EQ(store_.last_query.limit, 5);
}

TEST_F(ApiTest, QueriesForGapsGoToTheStoreWithTheirParameters) {
  HttpRequest made = request("GET", "/api/gaps");
  made.query = "all=1&limit=5";
  const HttpResponse answer = ask(api_, made);
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, R"({"journals":[],"next":null})");
  EXPECT_EQ(store_.last_gaps_query.limit, 5);
  EXPECT_TRUE(store_.last_gaps_query.all);
  made.query = "all=2";
  EXPECT_EQ(ask(api_, made).status, 400);
  store_.query_status = Status::unavailable("disk gone");
  made.query = "";
  EXPECT_EQ(ask(api_, made).status, 503);
}

TEST_F(ApiTest, WhatWasGivenUpGoesToTheStoreWithoutRecordsToo) {
  HttpHeaders headers = kJson;
  headers.emplace_back("Log-Aggregator-Journal", "6f1c0f6e-0b57-4c39-9f5b-7f0f3a6d2c11");
  headers.emplace_back("Log-Aggregator-Skipped", "3-5");
  const HttpResponse answer = ask(api_, request("POST", "/api/logs", headers));
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, R"({"stored":0,"duplicates":0})");
  ASSERT_EQ(store_.last_batch.skipped.size(), 1);
  EXPECT_EQ(store_.last_batch.skipped[0], (SequenceRange{3, 5}));
}

TEST_F(ApiTest, UnknownPathsAre404AndOtherMethods405) {
  EXPECT_EQ(ask(api_, request("GET", "/nothing")).status, 404);
  EXPECT_EQ(ask(api_, request("PUT", "/api/logs")).status, 405);
  EXPECT_EQ(ask(api_, request("POST", "/api/health")).status, 405);
  EXPECT_EQ(ask(api_, request("POST", "/api/gaps")).status, 405);
}

TEST_F(ApiTest, APostIsRefusedByItsHeadersAlone) {
  EXPECT_EQ(api_.refuse(request("POST", "/api/logs"))->status, 415);
  EXPECT_FALSE(api_.refuse(request("POST", "/api/logs", kJson)));
}

TEST_F(ApiTest, MetricsCountRecordsDurationsAndAnswers) {
  const std::string body = R"([{"message":"m"},{"message":"m"},{"message":1}])";
  EXPECT_EQ(ask(api_, request("POST", "/api/logs", kJson, body)).status, 400);
  store_.append_status = Status::unavailable("disk full");
  EXPECT_EQ(ask(api_, request("POST", "/api/logs", kJson, body)).status, 503);
  api_.answered(503);
  const HttpResponse answer = ask(api_, request("GET", "/metrics"));
  EXPECT_EQ(answer.content_type, "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_THAT(answer.body, HasSubstr("log_aggregator_records_total{result=\"stored\"} 2\n"));
  EXPECT_THAT(answer.body, HasSubstr("log_aggregator_records_total{result=\"bad\"} 1\n"));
  EXPECT_THAT(answer.body, HasSubstr("requests_total{status=\"503\"} 1\n"));
  EXPECT_THAT(answer.body, HasSubstr("seconds_count{route=\"POST /api/logs\"} 2\n"));
  EXPECT_THAT(answer.body, HasSubstr("log_aggregator_store_bytes 4096\n"));
}

TEST(ApiWithTokens, LooksAtHostAndOriginBeforeAnythingElse) {
  FakeStore store;
  Api api(store, TokenSet({"secret"}), "1");
  HttpRequest rebound = request("GET", "/api/health");
  rebound.headers = {{"Host", "evil.example"}};
  EXPECT_EQ(ask(api, rebound).status, 421);
  const HttpHeaders foreign = {{"Origin", "http://evil.example"}};
  EXPECT_EQ(ask(api, request("GET", "/nothing", foreign)).status, 403);
}

TEST(ApiWithTokens, LetsNobodyInWithoutOne) {
  FakeStore store;
  Api api(store, TokenSet({"secret"}), "1");
  const HttpHeaders right = {{"Authorization", "Bearer secret"}};
  const HttpHeaders wrong = {{"Authorization", "Bearer guess"}};
  EXPECT_EQ(ask(api, request("GET", "/api/logs")).status, 401);
  EXPECT_EQ(ask(api, request("GET", "/api/logs", wrong)).status, 401);
  EXPECT_EQ(ask(api, request("GET", "/api/logs", right)).status, 200);
  EXPECT_EQ(ask(api, request("DELETE", "/api/logs")).status, 401);
  EXPECT_EQ(ask(api, request("GET", "/api/gaps")).status, 401);
  EXPECT_EQ(ask(api, request("GET", "/api/gaps", wrong)).status, 401);
  EXPECT_EQ(ask(api, request("GET", "/api/gaps", right)).status, 200);
  EXPECT_EQ(ask(api, request("GET", "/api/health")).status, 200);
  EXPECT_EQ(ask(api, request("GET", "/api/health", wrong)).status, 401);
}

TEST(ApiWithTokens, GuessersAreRefusedForAWhileAndOthersAreServed) {
  FakeStore store;
  Api api(store, TokenSet({"secret"}), "1");
  const auto get = [&](const std::string& token, const std::string& address = "192.0.2.1") {
    HttpRequest made = request("GET", "/api/logs", {{"Authorization", "Bearer " + token}});
    made.client_address = address;
    return ask(api, std::move(made));
  };
  for (int guess = 0; guess < 10; ++guess) EXPECT_EQ(get(std::to_string(guess)).status, 401);
  const HttpResponse refused = get("eleventh");
  EXPECT_EQ(refused.status, 429);
  ASSERT_EQ(refused.headers.size(), 1);
  EXPECT_EQ(refused.headers[0].first, "Retry-After");
  EXPECT_EQ(get("secret").status, 200);
  EXPECT_EQ(ask(api, request("GET", "/api/health")).status, 200);
  EXPECT_EQ(get("eleventh", "192.0.2.2").status, 401);
}

}  // namespace
}  // namespace log_aggregator::collector
