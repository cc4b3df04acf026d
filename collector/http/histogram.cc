#include "collector/http/histogram.h"

#include <string>

#include "collector/http/parameters.h"
#include "collector/timestamp.h"
#include "log_aggregator/json_writer.h"

namespace log_aggregator::collector {

namespace {

constexpr std::int64_t kMillisecond = 1'000;
constexpr std::int64_t kSecond = 1'000 * kMillisecond;
constexpr std::int64_t kMinute = 60 * kSecond;
constexpr std::int64_t kHour = 60 * kMinute;
constexpr std::int64_t kDay = 24 * kHour;
constexpr std::int64_t kMaxBuckets = 1'000;

struct Parameters : Selection {
  std::optional<std::int64_t> from_us;
  std::optional<std::int64_t> to_us;
  std::size_t buckets = 60;
};

Wrong set_parameter(Parameters& parameters, const std::string& name, const std::string& value) {
  if (name == "from") return set_time(parameters.from_us, name, value);
  if (name == "to") return set_time(parameters.to_us, name, value);
  if (name == "buckets") return set_number(parameters.buckets, kMaxBuckets, name, value);
  return set_selection(parameters, name, value);
}

// The shortest round one that makes no more buckets than wanted, wherever the time begins.
std::int64_t choose_step(std::int64_t duration_us, std::int64_t buckets) {
  static constexpr std::int64_t kSteps[] = {
      kMillisecond,
      2 * kMillisecond,
      5 * kMillisecond,
      10 * kMillisecond,
      20 * kMillisecond,
      50 * kMillisecond,
      100 * kMillisecond,
      200 * kMillisecond,
      500 * kMillisecond,
      kSecond,
      2 * kSecond,
      5 * kSecond,
      10 * kSecond,
      15 * kSecond,
      30 * kSecond,
      kMinute,
      2 * kMinute,
      5 * kMinute,
      10 * kMinute,
      15 * kMinute,
      30 * kMinute,
      kHour,
      2 * kHour,
      3 * kHour,
      6 * kHour,
      12 * kHour,
      kDay,
  };
  // A time that does not begin with a bucket touches one more.
  const auto fits = [&](std::int64_t step) {
    return duration_us <= step * (buckets > 1 ? buckets - 1 : 1);
  };
  for (const std::int64_t step : kSteps) {
    if (fits(step)) return step;
  }
  std::int64_t days = 1;
  while (!fits(days * kDay)) days *= 2;
  return days * kDay;
}

}  // namespace

std::variant<HistogramQuery, HttpError> parse_histogram_query(std::string_view query,
                                                              std::int64_t now_us) {
  const auto parsed = parse_parameters<Parameters>(query, set_parameter);
  if (const auto* error = std::get_if<HttpError>(&parsed)) return *error;
  const auto& parameters = std::get<Parameters>(parsed);
  HistogramQuery made{parameters};
  made.to_us = parameters.to_us.value_or(now_us);
  made.from_us = parameters.from_us.value_or(made.to_us - kHour);
  if (made.from_us >= made.to_us) return HttpError{400, "from must be before to"};
  made.step_us =
      choose_step(made.to_us - made.from_us, static_cast<std::int64_t>(parameters.buckets));
  return made;
}

HttpResponse histogram_response(const HistogramQuery& query,
                                const std::vector<HistogramCount>& counts) {
  JsonWriter json;
  json.begin_object();
  json.key("from");
  json.string(timestamp_text(query.from_us));
  json.key("to");
  json.string(timestamp_text(query.to_us));
  json.key("step_ms");
  json.integer(query.step_us / kMillisecond);
  json.key("buckets");
  json.begin_array();
  for (std::size_t i = 0; i < counts.size();) {
    const std::int64_t time_us = counts[i].time_us;
    json.begin_object();
    json.key("time");
    json.string(timestamp_text(time_us));
    json.key("counts");
    json.begin_object();
    for (; i < counts.size() && counts[i].time_us == time_us; ++i) {
      json.key(counts[i].level);
      json.integer(counts[i].count);
    }
    json.end_object();
    json.end_object();
  }
  json.end_array();
  json.end_object();
  return {200, std::string(json.text()), {}};
}

}  // namespace log_aggregator::collector
