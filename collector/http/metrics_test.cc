#include "collector/http/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace log_aggregator::collector {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::Not;

TEST(Metrics, CountsRecordsByWhatBecameOfThem) {
  Metrics metrics;
  metrics.count_records(7, 2, 0);
  metrics.count_records(1, 0, 3);
  const std::string text = metrics.text({});
  EXPECT_THAT(text, HasSubstr("log_aggregator_records_total{result=\"stored\"} 8\n"));
  EXPECT_THAT(text, HasSubstr("log_aggregator_records_total{result=\"duplicate\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("log_aggregator_records_total{result=\"bad\"} 3\n"));
}

TEST(Metrics, CountsRefusalsByStatusAndNoOtherAnswers) {
  Metrics metrics;
  for (const int status : {200, 404, 404, 503, 304}) metrics.count_answer(status);
  const std::string text = metrics.text({});
  EXPECT_THAT(text, HasSubstr("log_aggregator_refused_requests_total{status=\"404\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("log_aggregator_refused_requests_total{status=\"503\"} 1\n"));
  EXPECT_THAT(text, Not(HasSubstr("status=\"200\"")));
  EXPECT_THAT(text, Not(HasSubstr("status=\"304\"")));
}

TEST(Metrics, HasDurationsByRoute) {
  Metrics metrics;
  metrics.observe_request("GET /api/logs", milliseconds(3));
  metrics.observe_request("GET /api/logs", milliseconds(30'000));
  metrics.observe_request("POST /api/logs", milliseconds(0));
  const std::string text = metrics.text({});
  const std::string name = "log_aggregator_request_duration_seconds";
  EXPECT_THAT(text, HasSubstr(name + "_count{route=\"GET /api/logs\"} 2\n"));
  EXPECT_THAT(text, HasSubstr(name + "_sum{route=\"GET /api/logs\"} 30.003"));
  EXPECT_THAT(text, HasSubstr(name + "_bucket{route=\"GET /api/logs\",le=\"0.0025\"} 0\n"));
  EXPECT_THAT(text, HasSubstr(name + "_bucket{route=\"GET /api/logs\",le=\"0.005\"} 1\n"));
  EXPECT_THAT(text, HasSubstr(name + "_bucket{route=\"GET /api/logs\",le=\"10\"} 1\n"));
  EXPECT_THAT(text, HasSubstr(name + "_bucket{route=\"GET /api/logs\",le=\"+Inf\"} 2\n"));
  EXPECT_THAT(text, HasSubstr(name + "_count{route=\"POST /api/logs\"} 1\n"));
}

TEST(Metrics, ShowsWhatIsCountedElsewhere) {
  Metrics metrics;
  metrics.text({1, 3, 16});
  const std::string text = metrics.text({4'096, 1, 17});
  EXPECT_THAT(text, HasSubstr("log_aggregator_store_bytes 4096\n"));
  EXPECT_THAT(text, HasSubstr("log_aggregator_tails 1\n"));
  EXPECT_THAT(text, HasSubstr("log_aggregator_tail_missed_records_total 17\n"));
}

}  // namespace
}  // namespace log_aggregator::collector
