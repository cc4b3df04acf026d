#include "cli/send_record.h"

#include <utility>

#include "collector/http/json_text.h"
#include "src/base/time_text.h"

namespace log_aggregator::cli {

namespace dom = simdjson::dom;

SendRecord::SendRecord(Defaults defaults)
    : defaults_(std::move(defaults)), writer_(record_prefix(defaults_.host, {}), kMaxBytes) {}

std::string_view SendRecord::from_line(std::string_view line, std::int64_t now_us) {
  writer_.begin(now_us, defaults_.level);
  writer_.message(line);
  writer_.field("logger_name", defaults_.logger);
  return writer_.finish();
}

Result<std::string_view> SendRecord::from_json(std::string_view json, std::int64_t now_us) {
  const auto has = look_into(json);
  if (!has.ok()) return has.status();
  write_defaults(*has, now_us);
  const std::string_view added = added_.text();
  record_.resize(added.size() + json.size());
  added.copy(record_.data(), added.size());
  std::size_t size = 0;
  const auto error =
      simdjson::minify(json.data(), json.size(), record_.data() + added.size(), size);
  if (error != simdjson::SUCCESS) return Status::invalid_argument(simdjson::error_message(error));
  // What was added ends in the place of the object's own bracket.
  if (!added.empty()) record_[added.size()] = ',';
  record_.resize(added.size() + size);
  if (record_.size() > kMaxBytes) return Status::invalid_argument("is longer than 1 MiB");
  return std::string_view(record_);
}

Result<SendRecord::Has> SendRecord::look_into(std::string_view json) {
  dom::element root;
  if (const auto error = parse(json, root); error != simdjson::SUCCESS) {
    return Status::invalid_argument(std::string("is not valid JSON: ") +
                                    simdjson::error_message(error));
  }
  dom::object object;
  if (root.get(object) != simdjson::SUCCESS) return Status::invalid_argument("is not an object");
  Has has;
  for (const dom::key_value_pair member : object) {
    if (member.key == "message") {
      if (!member.value.is_string()) return Status::invalid_argument("message is not a string");
      has.message = true;
    }
    has.timestamp |= member.key == "timestamp";
    has.level |= member.key == "level";
    has.logger |= member.key == "logger_name";
    has.host |= member.key == "host";
  }
  if (!has.message) return Status::invalid_argument("has no message");
  return has;
}

// The collector keeps numbers of any length, and so does this.
simdjson::error_code SendRecord::parse(std::string_view json, dom::element& root) {
  const auto error = parser_.parse(json.data(), json.size()).get(root);
  if (error != simdjson::NUMBER_ERROR) return error;
  blanked_ = json;
  if (!collector::blank_long_numbers(blanked_)) return error;
  return parser_.parse(blanked_).get(root);
}

// What the object lacks, as one without its end; empty where it lacks nothing.
void SendRecord::write_defaults(const Has& has, std::int64_t now_us) {
  added_.clear();
  if (has.timestamp && has.level && has.logger && has.host) return;
  const auto add = [this](std::string_view name, std::string_view value) {
    added_.key(name);
    added_.string(value);
  };
  added_.begin_object();
  if (!has.timestamp) {
    char time[kTimestampLength];
    format_timestamp(now_us, time);
    add("timestamp", {time, kTimestampLength});
  }
  if (!has.level) add("level", defaults_.level);
  if (!has.logger) add("logger_name", defaults_.logger);
  if (!has.host) add("host", defaults_.host);
}

}  // namespace log_aggregator::cli
