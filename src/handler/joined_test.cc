#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "log_aggregator/handler.h"
#include "log_aggregator/handler_functions.h"

namespace log_aggregator {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// A handler of somebody else, as it shows itself to others, which notes what is asked of it.
struct Other {
  struct Given {
    int severity;
    std::string json;
    bool may_wait;
  };

  static Other& of(void* handler) { return *static_cast<Other*>(handler); }

  HandlerFunctions functions() {
    return {
        .version = LOG_AGGREGATOR_HANDLER_FUNCTIONS_VERSION,
        .size = sizeof(HandlerFunctions),
        .handler = this,
        .retain = [](void* self) { ++of(self).holders; },
        .release = [](void* self) { --of(self).holders; },
        .log_json =
            [](void* self, int severity, const char* record, std::size_t size, int may_wait) {
              of(self).given.push_back({severity, std::string(record, size), may_wait != 0});
              return of(self).answer;
            },
        .flush =
            [](void* self, std::int64_t timeout_ms) {
              of(self).flushes.push_back(timeout_ms);
              return of(self).answer;
            },
        .check_connection = [](void* self) { return of(self).answer; },
        .stats =
            [](void* self, LogAggregatorStats* out, std::size_t size) {
              std::memcpy(out, &of(self).stats, std::min(size, sizeof(LogAggregatorStats)));
              return of(self).answer;
            },
        .record_prefix = prefix.data(),
        .record_prefix_size = prefix.size(),
        .max_record_bytes = max_record_bytes,
        .level_names = level_names.data(),
        .level_names_size = level_names.size(),
    };
  }

  int holders = 1;
  int answer = 1;
  std::string prefix = R"("host":"web1","service":"shop")";
  std::size_t max_record_bytes = 1 << 20;
  std::vector<LogAggregatorLevelName> level_names;
  LogAggregatorStats stats{};
  std::vector<Given> given;
  std::vector<std::int64_t> flushes;
};

class JoinedTest : public ::testing::Test {
 protected:
  Handler& handler() {
    if (!handler_) handler_ = Handler::join(other_.functions(), "pricing").value();
    return *handler_;
  }
  std::string logged(Level level, std::string_view message) {
    EXPECT_TRUE(handler().log(level, message));
    return other_.given.back().json;
  }

  Other other_;
  std::unique_ptr<Handler> handler_;
};

TEST_F(JoinedTest, records_are_encoded_here_with_what_the_others_have_in_common) {
  handler().log(Level::error, "no price", field("item", "tea"));
  ASSERT_THAT(other_.given, SizeIs(1));
  const Other::Given& record = other_.given.front();
  EXPECT_EQ(record.severity, 40);
  EXPECT_TRUE(record.may_wait);
  EXPECT_THAT(record.json, HasSubstr(R"("level":"ERROR","host":"web1","service":"shop")"));
  EXPECT_THAT(record.json, HasSubstr(R"("message":"no price")"));
  EXPECT_THAT(record.json, HasSubstr(R"("host_process":"pricing","logger_name":"pricing")"));
  EXPECT_THAT(record.json, HasSubstr(R"("extra":{"item":"tea"})"));
  EXPECT_EQ(handler().record_prefix(), other_.prefix);
}

TEST_F(JoinedTest, without_a_name_the_logger_is_the_program) {
  handler_ = Handler::join(other_.functions()).value();
  EXPECT_THAT(logged(Level::info, "x"),
              HasSubstr("\"logger_name\":\"" + std::string(program_invocation_short_name)));
}

TEST_F(JoinedTest, levels_have_the_names_that_the_other_handler_gives_them) {
  other_.level_names = {{30, "WARN"}, {25, "NOTICE"}};
  EXPECT_THAT(logged(Level::warning, "x"), HasSubstr(R"("level":"WARN")"));
  EXPECT_THAT(logged(static_cast<Level>(25), "x"), HasSubstr(R"("level":"NOTICE")"));
  EXPECT_THAT(logged(Level::info, "x"), HasSubstr(R"("level":"INFO")"));
}

TEST_F(JoinedTest, records_are_cut_to_the_others_limit) {
  other_.max_record_bytes = 1'024;
  const std::string json = logged(Level::info, std::string(5'000, 'x'));
  EXPECT_LE(json.size(), 1'024U);
  EXPECT_THAT(json, HasSubstr("[cut]"));
  EXPECT_EQ(handler().options().max_record_bytes, 1'024U);
}

TEST_F(JoinedTest, records_that_are_encoded_already_are_handed_over_as_they_are) {
  EXPECT_TRUE(handler().log_json(20, "{\"n\":1}"));
  EXPECT_EQ(other_.given.front().json, "{\"n\":1}");
}

TEST_F(JoinedTest, what_the_other_handler_does_not_take_is_told) {
  other_.answer = 0;
  EXPECT_FALSE(handler().log(Level::info, "x"));
  EXPECT_FALSE(handler().log_json(20, "{}"));
  EXPECT_EQ(handler().try_log_json(20, "{}"), std::optional(false));
  EXPECT_FALSE(handler().flush());
  EXPECT_FALSE(handler().check_connection());
}

TEST_F(JoinedTest, who_may_not_wait_is_told_where_it_would) {
  other_.answer = -1;
  EXPECT_EQ(handler().try_log_json(20, "{}"), std::nullopt);
  EXPECT_FALSE(other_.given.front().may_wait);
}

TEST_F(JoinedTest, a_flush_has_the_callers_timeout_or_the_others_own) {
  EXPECT_TRUE(handler().flush(milliseconds(7)));
  EXPECT_TRUE(handler().flush(milliseconds(-7)));
  EXPECT_TRUE(handler().flush());
  EXPECT_THAT(other_.flushes, ElementsAre(7, 0, -1));
}

TEST_F(JoinedTest, close_flushes_and_leaves_the_handler_to_its_owner) {
  EXPECT_TRUE(handler().close(milliseconds(9)));
  EXPECT_THAT(other_.flushes, ElementsAre(9));
  EXPECT_TRUE(handler().log(Level::info, "later"));
  EXPECT_EQ(other_.holders, 2);
}

TEST_F(JoinedTest, the_other_handler_is_held_until_the_joined_one_is_destroyed) {
  handler();
  EXPECT_EQ(other_.holders, 2);
  handler_.reset();
  EXPECT_EQ(other_.holders, 1);
  EXPECT_THAT(other_.flushes, SizeIs(0));
}

TEST_F(JoinedTest, stats_are_those_of_the_other_handler) {
  other_.stats = {.accepted = 1,
                  .delivered = 2,
                  .pending = 3,
                  .pending_bytes = 4,
                  .durable = 5,
                  .adopted_delivered = 6,
                  .adopted_dropped = 7,
                  .retries = 8,
                  .batches = 9,
                  .bytes_sent = 10,
                  .dropped = {},
                  .last_error = "timed out"};
  other_.stats.dropped[static_cast<int>(DropCause::damaged)][4] = 11;
  const Stats stats = handler().stats();
  EXPECT_EQ(stats.accepted, 1U);
  EXPECT_EQ(stats.delivered, 2U);
  EXPECT_EQ(stats.pending, 3U);
  EXPECT_EQ(stats.pending_bytes, 4U);
  EXPECT_EQ(stats.durable, 5U);
  EXPECT_EQ(stats.adopted_delivered, 6U);
  EXPECT_EQ(stats.adopted_dropped, 7U);
  EXPECT_EQ(stats.retries, 8U);
  EXPECT_EQ(stats.batches, 9U);
  EXPECT_EQ(stats.bytes_sent, 10U);
  EXPECT_EQ(stats.last_error, "timed out");
  EXPECT_EQ(stats.dropped_for(DropCause::damaged), 11U);
  EXPECT_EQ(stats.dropped_total(), 11U);
}

struct Greedy {};
void to_log_json(JsonWriter&, const Greedy&) { throw std::bad_alloc(); }

TEST_F(JoinedTest, a_record_that_finds_no_memory_is_counted_here) {
  EXPECT_FALSE(handler().log(Level::error, "x", field("greedy", Greedy{})));
  EXPECT_THAT(other_.given, SizeIs(0));
  EXPECT_EQ(handler().stats().dropped_for(DropCause::out_of_memory), 1U);
  EXPECT_EQ(handler().stats().accepted, 1U);
  EXPECT_FALSE(handler().flush());
}

TEST_F(JoinedTest, a_forked_child_counts_from_zero) {
  handler().log(Level::error, "x", field("greedy", Greedy{}));
  const pid_t child = ::fork();
  if (child == 0) {
    const bool none = handler().stats().accepted == 0 && handler().stats().dropped_total() == 0;
    ::_exit(none && handler().flush() ? 0 : 1);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(handler().stats().accepted, 1U);
  EXPECT_FALSE(handler().flush());
}

TEST_F(JoinedTest, functions_of_another_version_are_refused_and_their_handler_is_not_held) {
  HandlerFunctions functions = other_.functions();
  functions.version = LOG_AGGREGATOR_HANDLER_FUNCTIONS_VERSION + 1;
  const auto joined = Handler::join(functions);
  ASSERT_FALSE(joined.ok());
  EXPECT_EQ(joined.status().code(), StatusCode::invalid_argument);
  EXPECT_THAT(joined.status().message(), HasSubstr("version 2"));
  EXPECT_EQ(other_.holders, 1);
}

TEST_F(JoinedTest, a_table_that_lacks_a_function_is_refused_and_a_longer_one_is_none_the_worse) {
  HandlerFunctions functions = other_.functions();
  --functions.size;
  EXPECT_FALSE(Handler::join(functions).ok());
  functions.size += 9;
  EXPECT_TRUE(Handler::join(functions).ok());
}

}  // namespace
}  // namespace log_aggregator
