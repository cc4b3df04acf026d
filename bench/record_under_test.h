// The record that the C++ benchmarks write, and how rapidjson writes it: the same members in the
// same order as RecordWriter's, the same care for the time of day.

#pragma once

#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <cstdint>
#include <string_view>

#include "src/base/time_text.h"
#include "src/handler/record_writer.h"

namespace log_aggregator::bench {

inline constexpr std::string_view kLogger = "bench.logins";
inline constexpr std::string_view kModule = "logins";
inline constexpr std::string_view kFile = "logins.cc";
inline constexpr std::string_view kFunction = "log_in";
inline constexpr std::string_view kThreadName = "main";
inline constexpr std::int64_t kLine = 128;
inline constexpr std::int64_t kProcess = 4242;
inline constexpr std::int64_t kThread = 140'000'000'000;
inline constexpr std::string_view kAddress = "192.168.1.100";

inline std::string_view write_ours(RecordWriter& writer, std::int64_t unix_us,
                                   std::string_view message, std::int64_t user) {
  writer.begin(unix_us, "INFO");
  writer.message(message);
  writer.field("host_process", kLogger);
  writer.field("logger_name", kLogger);
  writer.field("module", kModule);
  writer.field("filename", kFile);
  writer.field("funcName", kFunction);
  writer.field("threadName", kThreadName);
  writer.field("lineno", kLine);
  writer.field("process", kProcess);
  writer.field("thread", kThread);
  writer.begin_extra();
  writer.json().key("user_id");
  writer.json().integer(user);
  writer.json().key("ip_address");
  writer.json().string(kAddress);
  writer.end_extra();
  return writer.finish();
}

// Keeps its buffer from record to record, and the text of the current second.
class RapidjsonWriter {
 public:
  // Valid until the next call.
  std::string_view write(std::int64_t unix_us, std::string_view message, std::int64_t user) {
    buffer_.Clear();
    json_.Reset(buffer_);
    json_.StartObject();
    text("timestamp", timestamp(unix_us));
    text("level", "INFO");
    text("host", "bench");
    text("message", message);
    text("host_process", kLogger);
    text("logger_name", kLogger);
    text("module", kModule);
    text("filename", kFile);
    text("funcName", kFunction);
    text("threadName", kThreadName);
    number("lineno", kLine);
    number("process", kProcess);
    number("thread", kThread);
    key("extra");
    json_.StartObject();
    number("user_id", user);
    text("ip_address", kAddress);
    json_.EndObject();
    json_.EndObject();
    return {buffer_.GetString(), buffer_.GetSize()};
  }

 private:
  static rapidjson::SizeType length(std::string_view value) {
    return static_cast<rapidjson::SizeType>(value.size());
  }
  void key(std::string_view name) { json_.Key(name.data(), length(name)); }
  void text(std::string_view name, std::string_view value) {
    key(name);
    json_.String(value.data(), length(value));
  }
  void number(std::string_view name, std::int64_t value) {
    key(name);
    json_.Int64(value);
  }

  std::string_view timestamp(std::int64_t unix_us) {
    const std::int64_t second = unix_us / 1'000'000;
    if (second == cached_second_) {
      format_microseconds(static_cast<int>(unix_us % 1'000'000), timestamp_);
    } else {
      format_timestamp(unix_us, timestamp_);
      cached_second_ = second;
    }
    return {timestamp_, kTimestampLength};
  }

  rapidjson::StringBuffer buffer_;
  rapidjson::Writer<rapidjson::StringBuffer> json_;
  std::int64_t cached_second_ = INT64_MIN;
  char timestamp_[kTimestampLength];
};

}  // namespace log_aggregator::bench
