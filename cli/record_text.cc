#include "cli/record_text.h"

#include <simdjson.h>

#include <algorithm>
#include <array>

#include "cli/terminal_text.h"

namespace log_aggregator::cli {

namespace {

// On Demand hands out numbers as they are written, integers past 64 bits included.
namespace ondemand = simdjson::ondemand;

constexpr std::string_view kReset = "\x1b[0m";
constexpr std::string_view kDim = "\x1b[2m";
constexpr std::string_view kRed = "\x1b[31m";
constexpr std::string_view kYellow = "\x1b[33m";
constexpr std::string_view kGreen = "\x1b[32m";

// Fields that every record has, told by its place in the line or of no interest there.
constexpr std::array<std::string_view, 13> kHiddenFields = {
    "id",      "host",   "host_process", "module",      "filename", "funcName", "lineno",
    "process", "thread", "threadName",   "processName", "pathname", "taskName"};

struct Parts {
  std::string timestamp;
  std::string level;
  std::string logger;
  std::string message;
  std::string extras;
  std::string below;  // exception and stack
};

std::string_view level_colour(std::string_view level) {
  if (level == "ERROR" || level == "CRITICAL" || level == "FATAL") return kRed;
  if (level == "WARNING" || level == "WARN") return kYellow;
  if (level == "INFO") return kGreen;
  return kDim;
}

std::string painted(std::string_view text, std::string_view colour, bool colours) {
  if (!colours) return std::string(text);
  return std::string(colour) + std::string(text) + std::string(kReset);
}

std::string_view trimmed(std::string_view text) {
  const auto last = text.find_last_not_of(" \t\r\n");
  return text.substr(0, last == std::string_view::npos ? 0 : last + 1);
}

std::string indented(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    out += "    " + neutralised(trimmed(text.substr(0, end))) + '\n';
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

// Quoted where it would not be clear which text belongs to the value.
std::string extra_text(std::string_view text) {
  const bool plain = !text.empty() && text.find_first_of(" =\"") == std::string_view::npos;
  if (plain) return neutralised(text);
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return neutralised(quoted + '"');
}

simdjson::error_code value_text(ondemand::value value, bool& is_string, std::string& text) {
  ondemand::json_type type{};
  if (const auto error = value.type().get(type)) return error;
  std::string_view found;
  is_string = type == ondemand::json_type::string;
  if (is_string) {
    if (const auto error = value.get_string().get(found)) return error;
  } else if (type == ondemand::json_type::object || type == ondemand::json_type::array) {
    if (const auto error = simdjson::to_json_string(value).get(found)) return error;
  } else {
    found = trimmed(value.raw_json_token());
  }
  text = found;
  return simdjson::SUCCESS;
}

simdjson::error_code add_extra(std::string_view name, ondemand::value value, std::string& extras) {
  bool is_string = false;
  std::string text;
  if (const auto error = value_text(value, is_string, text)) return error;
  extras += ' ' + neutralised(name) + '=' + (is_string ? extra_text(text) : neutralised(text));
  return simdjson::SUCCESS;
}

simdjson::error_code add_field(ondemand::field field, Parts& parts) {
  std::string_view key;
  if (const auto error = field.unescaped_key().get(key)) return error;
  const std::string name(key);
  ondemand::value value = field.value();
  if (std::find(kHiddenFields.begin(), kHiddenFields.end(), name) != kHiddenFields.end()) {
    return simdjson::SUCCESS;
  }
  ondemand::object object;
  if (name == "extra" && value.get_object().get(object) == simdjson::SUCCESS) {
    for (auto member : object) {
      std::string_view member_name;
      if (const auto error = member.unescaped_key().get(member_name)) return error;
      const std::string kept(member_name);
      if (const auto error = add_extra(kept, member.value(), parts.extras)) return error;
    }
    return simdjson::SUCCESS;
  }
  bool is_string = false;
  std::string text;
  if (const auto error = value_text(value, is_string, text)) return error;
  if (name == "timestamp") {
    parts.timestamp = neutralised(text);
  } else if (name == "level") {
    parts.level = neutralised(text);
  } else if (name == "logger_name") {
    parts.logger = neutralised(text);
  } else if (name == "message") {
    parts.message = neutralised(text);
  } else if ((name == "exception" || name == "stack") && is_string) {
    parts.below += indented(text);
  } else {
    parts.extras += ' ' + neutralised(name) + '=';
    parts.extras += is_string ? extra_text(text) : neutralised(text);
  }
  return simdjson::SUCCESS;
}

simdjson::error_code read_parts(std::string_view json, Parts& parts) {
  const simdjson::padded_string padded(json);
  ondemand::parser parser;
  ondemand::document document;
  if (const auto error = parser.iterate(padded).get(document)) return error;
  ondemand::object object;
  if (const auto error = document.get_object().get(object)) return error;
  for (auto field : object) {
    ondemand::field each;
    if (const auto error = std::move(field).get(each)) return error;
    if (const auto error = add_field(each, parts)) return error;
  }
  return simdjson::SUCCESS;
}

// To the width that most levels have, so that columns stand below each other.
std::string level_column(std::string level) {
  constexpr std::size_t kWidth = 8;
  level.resize(std::max(level.size(), kWidth), ' ');
  return level;
}

}  // namespace

Result<std::string> record_text(std::string_view json, bool colours) {
  Parts parts;
  if (const auto error = read_parts(json, parts)) {
    return Status::unavailable(std::string("a record cannot be read: ") +
                               simdjson::error_message(error));
  }
  std::string text = painted(parts.timestamp, kDim, colours) + ' ' +
                     painted(level_column(parts.level), level_colour(parts.level), colours) + ' ';
  if (!parts.logger.empty()) text += parts.logger + ": ";
  return text + parts.message + painted(parts.extras, kDim, colours) + '\n' + parts.below;
}

}  // namespace log_aggregator::cli
