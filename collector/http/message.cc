#include "collector/http/message.h"

#include <algorithm>

#include "log_aggregator/json_writer.h"

namespace log_aggregator::collector {

namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

}  // namespace

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

std::optional<std::string_view> HttpRequest::header(std::string_view name) const {
  for (const auto& [each, value] : headers) {
    if (equal_ignoring_case(each, name)) return value;
  }
  return std::nullopt;
}

HttpResponse error_response(const HttpError& error) {
  JsonWriter json;
  json.begin_object();
  json.key("error");
  json.string(error.reason);
  json.end_object();
  return {error.status, std::string(json.text()), {}};
}

}  // namespace log_aggregator::collector
