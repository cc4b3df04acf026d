#include "src/deliver/drop_notice.h"

#include <unistd.h>

#include "log_aggregator/json_writer.h"
#include "src/base/time_text.h"

namespace log_aggregator {
namespace {

constexpr std::chrono::seconds kInterval{30};
constexpr std::string_view kLogger = "log_aggregator.dropped";

std::string timestamp(std::chrono::system_clock::time_point when) {
  std::string text(kTimestampLength, '\0');
  const auto since_1970 = when.time_since_epoch();
  format_timestamp(std::chrono::duration_cast<std::chrono::microseconds>(since_1970).count(),
                   text.data());
  return text;
}

}  // namespace

bool DropNotice::is_due(const DropCounts& dropped, std::uint64_t adopted, bool now) {
  if (total(dropped) == total(told_) && adopted == adopted_told_) {
    due_ = Clock::TimePoint::max();
    return false;
  }
  if (due_ == Clock::TimePoint::max()) due_ = clock_.now() + kInterval;
  return now || clock_.now() >= due_;
}

std::string DropNotice::write(const DropCounts& dropped, std::uint64_t adopted) const {
  const std::uint64_t records = total(dropped) - total(told_) + adopted - adopted_told_;
  JsonWriter json;
  json.begin_object();
  const auto text = [&](std::string_view name, std::string_view value) {
    json.key(name);
    json.string(value);
  };
  text("timestamp", timestamp(clock_.wall_now()));
  text("level", "WARNING");
  text("message", std::to_string(records) + (records == 1 ? " record was" : " records were") +
                      " dropped before reaching the log aggregation API");
  text("host", options_.host);
  text("host_process", kLogger);
  text("logger_name", kLogger);
  text("module", "log_aggregator");
  text("filename", "");
  text("funcName", "");
  json.key("lineno");
  json.integer(0);
  json.key("process");
  json.integer(::getpid());
  json.key("thread");
  json.integer(0);
  text("threadName", "log-aggregator");
  for (const StaticField& field : options_.fields) {
    json.key(field.name);
    json.raw(field.json);
  }
  json.key("extra");
  json.begin_object();
  json.key("dropped");
  write_counts(dropped, json);
  if (adopted != adopted_told_) {
    json.key("dropped_of_earlier_processes");
    json.integer(static_cast<std::int64_t>(adopted - adopted_told_));
  }
  json.end_object();
  json.end_object();
  return std::string(json.text());
}

// {"queue_full": {"INFO": 12, ...}, ...}, of what was not told yet.
void DropNotice::write_counts(const DropCounts& dropped, JsonWriter& json) const {
  json.begin_object();
  for (std::size_t cause = 0; cause < kDropCauses; ++cause) {
    if (total(dropped[cause]) == total(told_[cause])) continue;
    json.key(drop_cause_name(static_cast<DropCause>(cause)));
    json.begin_object();
    for (std::size_t level = 0; level < kDropLevels; ++level) {
      const std::uint64_t fresh = dropped[cause][level] - told_[cause][level];
      if (fresh == 0) continue;
      json.key(drop_level_name(level));
      json.integer(static_cast<std::int64_t>(fresh));
    }
    json.end_object();
  }
  json.end_object();
}

void DropNotice::sent(std::uint64_t sequence, const DropCounts& dropped, std::uint64_t adopted) {
  if (sequence == 0) {
    due_ = clock_.now() + kInterval;
    return;
  }
  last_sequence_ = sequence;
  told_ = dropped;
  adopted_told_ = adopted;
  due_ = Clock::TimePoint::max();
}

void DropNotice::forget(DropCause cause, int severity) {
  ++told_[static_cast<std::size_t>(cause)][drop_level(severity)];
}

}  // namespace log_aggregator
