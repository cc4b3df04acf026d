#include "collector/http/message.h"

#include "log_aggregator/json_writer.h"
#include "src/base/text.h"

namespace log_aggregator::collector {

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
  if (error.place) {
    json.key("position");
    json.integer(static_cast<std::int64_t>(error.place->position));
    json.key("length");
    json.integer(static_cast<std::int64_t>(error.place->length));
  }
  json.end_object();
  return {error.status, std::string(json.text()), {}};
}

}  // namespace log_aggregator::collector
