// SendRecord makes records, as the API takes them, of what SendInput cuts. One for each input; not
// thread-safe.

#pragma once

#include <simdjson.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "log_aggregator/status.h"
#include "src/handler/record_writer.h"

namespace log_aggregator::cli {

class SendRecord {
 public:
  static constexpr std::size_t kMaxBytes = 1 << 20;

  // What records have that say nothing else themselves.
  struct Defaults {
    std::string level;
    std::string logger;
    std::string host;
  };

  explicit SendRecord(Defaults defaults);

  // A message. One that is too long is cut, and marked as cut. Both are valid until the next call.
  std::string_view from_line(std::string_view line, std::int64_t now_us);
  // An object with a string message, kept as it is but for blanks and the fields that it lacks. The
  // error says what is wrong with it, and repeats none of it.
  Result<std::string_view> from_json(std::string_view json, std::int64_t now_us);

 private:
  struct Has {
    bool message = false;
    bool timestamp = false;
    bool level = false;
    bool logger = false;
    bool host = false;
  };

  Result<Has> look_into(std::string_view json);
  simdjson::error_code parse(std::string_view json, simdjson::dom::element& root);
  void write_defaults(const Has& has, std::int64_t now_us);

  const Defaults defaults_;
  RecordWriter writer_;
  simdjson::dom::parser parser_;
  std::string blanked_;
  JsonWriter added_;
  std::string record_;
};

}  // namespace log_aggregator::cli
