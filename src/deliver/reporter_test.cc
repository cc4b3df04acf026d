#include "src/deliver/reporter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "src/testing/fake_clock.h"

namespace log_aggregator {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class ReporterTest : public ::testing::Test {
 protected:
  ReporterTest() {
    options_.report = [this](std::string_view line) { lines_.emplace_back(line); };
  }

  testing::FakeClock clock_;
  Options options_;
  Mailbox mailbox_;
  std::vector<std::string> lines_;
  Reporter reporter_{options_, mailbox_, clock_};
};

TEST_F(ReporterTest, a_report_names_the_count_the_cause_and_why) {
  reporter_.dropped(DropCause::refused, 1, "it answered 404");
  reporter_.dropped(DropCause::queue_full, 12, "the queue is full");
  EXPECT_THAT(
      lines_,
      ElementsAre("log-aggregator-handler: 1 record dropped (refused): it answered 404",
                  "log-aggregator-handler: 12 records dropped (queue_full): the queue is full"));
}

TEST_F(ReporterTest, a_cause_is_told_once_in_thirty_seconds) {
  reporter_.dropped(DropCause::refused, 1, "why");
  clock_.advance(seconds(30) - milliseconds(1));
  reporter_.dropped(DropCause::refused, 1, "why");
  EXPECT_THAT(lines_, SizeIs(1));
  clock_.advance(milliseconds(1));
  reporter_.dropped(DropCause::refused, 1, "why");
  EXPECT_THAT(lines_, SizeIs(2));
}

TEST_F(ReporterTest, the_next_report_counts_those_that_were_held_back) {
  reporter_.dropped(DropCause::refused, 1, "why");
  reporter_.dropped(DropCause::refused, 20, "why");
  reporter_.dropped(DropCause::refused, 3, "why");
  clock_.advance(seconds(31));
  reporter_.dropped(DropCause::refused, 5, "new");
  EXPECT_EQ(
      lines_.back(),
      "log-aggregator-handler: 5 records dropped (refused): new; 23 more since the last report");
  clock_.advance(seconds(31));
  reporter_.dropped(DropCause::refused, 5, "newer");
  EXPECT_EQ(lines_.back(), "log-aggregator-handler: 5 records dropped (refused): newer");
}

TEST_F(ReporterTest, each_cause_has_its_own_silence) {
  for (std::size_t i = 0; i < kDropCauses; ++i) {
    reporter_.dropped(static_cast<DropCause>(i), 1, "why");
    reporter_.dropped(static_cast<DropCause>(i), 1, "why");
  }
  EXPECT_THAT(lines_, SizeIs(kDropCauses));
}

TEST_F(ReporterTest, the_last_line_tells_of_all_that_were_held_back) {
  reporter_.dropped(DropCause::refused, 1, "why");
  reporter_.dropped(DropCause::refused, 2, "why");
  reporter_.dropped(DropCause::closed, 1, "why");
  reporter_.dropped(DropCause::closed, 3, "why");
  lines_.clear();
  reporter_.finish();
  EXPECT_THAT(lines_,
              ElementsAre("log-aggregator-handler: 5 records dropped since the last reports: "
                          "2 refused, 3 closed"));
  reporter_.finish();
  EXPECT_THAT(lines_, SizeIs(1)) << "and tells it once";
}

TEST_F(ReporterTest, there_is_no_last_line_where_all_was_told) {
  reporter_.dropped(DropCause::refused, 1, "why");
  lines_.clear();
  reporter_.finish();
  EXPECT_THAT(lines_, IsEmpty());
}

TEST_F(ReporterTest, lines_go_to_standard_error_where_the_callback_cannot_run) {
  EXPECT_TRUE(mailbox_.detach(Clock::TimePoint()));
  ::testing::internal::CaptureStderr();
  reporter_.dropped(DropCause::refused, 1, "why");
  EXPECT_EQ(::testing::internal::GetCapturedStderr(),
            "log-aggregator-handler: 1 record dropped (refused): why\n");
  EXPECT_THAT(lines_, IsEmpty());
}

TEST_F(ReporterTest, lines_go_to_standard_error_where_the_callback_throws) {
  options_.report = [](std::string_view) { throw 7; };
  ::testing::internal::CaptureStderr();
  reporter_.dropped(DropCause::refused, 1, "why");
  EXPECT_EQ(::testing::internal::GetCapturedStderr(),
            "log-aggregator-handler: 1 record dropped (refused): why\n");
}

}  // namespace
}  // namespace log_aggregator
