#include "collector/http/query.h"

#include <optional>
#include <string>

#include "collector/http/url.h"
#include "collector/timestamp.h"

namespace log_aggregator::collector {

namespace {

constexpr std::int64_t kMaxLimit = 10'000;

// A "+" that was not encoded has arrived as a blank.
std::optional<std::int64_t> parse_time(std::string text) {
  constexpr std::size_t kDateLength = 10;
  const auto blank = text.rfind(' ');
  if (blank != std::string::npos && blank > kDateLength) text[blank] = '+';
  return parse_timestamp(text);
}

// What is wrong with the value, if anything.
std::optional<std::string> set_parameter(Query& query, const std::string& name,
                                         const std::string& value) {
  if (name == "from" || name == "to") {
    const auto time_us = parse_time(value);
    if (!time_us) return name + " must be ISO 8601 with an offset";
    (name == "from" ? query.from_us : query.to_us) = time_us;
  } else if (name == "level") {
    query.levels.push_back(value);
  } else if (name == "logger") {
    query.logger = value;
  } else if (name == "host") {
    query.host = value;
  } else if (name == "limit") {
    return set_limit(query.limit, kMaxLimit, value);
  } else if (name == "before") {
    return set_before(query.before, value);
  } else {
    return "unknown parameter: " + name;
  }
  return std::nullopt;
}

}  // namespace

std::variant<Query, HttpError> parse_log_query(std::string_view query) {
  constexpr std::size_t kMaxLevels = 100;
  const auto parameters = parse_query(query);
  if (!parameters) return HttpError{400, "the query of the URL is not encoded correctly"};
  Query parsed;
  for (const auto& [name, value] : *parameters) {
    if (auto wrong = set_parameter(parsed, name, value)) return HttpError{400, *std::move(wrong)};
  }
  if (parsed.levels.size() > kMaxLevels) return HttpError{400, "level is given too often"};
  return parsed;
}

HttpResponse page_response(const Page& page) {
  std::string body = "{\"records\":[";
  for (const StoredRecord& record : page.records) {
    if (body.back() != '[') body += ',';
    // The record is an object that holds at least its message.
    body += "{\"id\":" + std::to_string(record.id) + ',';
    body.append(record.json, 1);
  }
  body += "],\"next\":";
  body += page.next ? '"' + std::to_string(*page.next) + '"' : "null";
  body += '}';
  return {200, std::move(body), {}};
}

}  // namespace log_aggregator::collector
