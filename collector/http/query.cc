#include "collector/http/query.h"

#include <string>

#include "collector/http/parameters.h"

namespace log_aggregator::collector {

namespace {

constexpr std::int64_t kMaxLimit = 10'000;

Wrong set_parameter(Query& query, const std::string& name, const std::string& value) {
  if (name == "from") return set_time(query.from_us, name, value);
  if (name == "to") return set_time(query.to_us, name, value);
  if (name == "limit") return set_number(query.limit, kMaxLimit, name, value);
  if (name == "before") return set_before(query.before, value);
  return set_selection(query, name, value);
}

Wrong set_stream_parameter(StreamQuery& query, const std::string& name, const std::string& value) {
  if (name != "after") return set_selection(query, name, value);
  query.after = parse_integer(value);
  if (!query.after) return wrong("after must be the id of a record");
  return std::nullopt;
}

}  // namespace

std::variant<Query, HttpError> parse_log_query(std::string_view query) {
  return parse_parameters<Query>(query, set_parameter);
}

std::variant<StreamQuery, HttpError> parse_stream_query(const HttpRequest& request) {
  auto parsed = parse_parameters<StreamQuery>(request.query, set_stream_parameter);
  const auto last_id = request.header("Last-Event-ID");
  auto* query = std::get_if<StreamQuery>(&parsed);
  if (query == nullptr || !last_id) return parsed;
  query->after = parse_integer(*last_id);
  if (!query->after) return HttpError{400, "Last-Event-ID must be the id of an event"};
  return parsed;
}

std::variant<std::int64_t, HttpError> parse_record_id(std::string_view path) {
  const auto id = parse_integer(path.substr(path.rfind('/') + 1));
  if (!id) return HttpError{404, "there is nothing at this path"};
  return *id;
}

std::string record_with_id(const StoredRecord& record) {
  // The record is an object that holds at least its message.
  return "{\"id\":" + std::to_string(record.id) + ',' + record.json.substr(1);
}

HttpResponse record_response(const std::optional<StoredRecord>& record) {
  if (!record) return error_response({404, "there is no record with this id"});
  return {200, record_with_id(*record), {}};
}

HttpResponse page_response(const Page& page) {
  std::string body = "{\"records\":[";
  for (const StoredRecord& record : page.records) {
    if (body.back() != '[') body += ',';
    body += record_with_id(record);
  }
  body += "],\"next\":";
  body += page.next ? '"' + std::to_string(*page.next) + '"' : "null";
  body += '}';
  return {200, std::move(body), {}};
}

}  // namespace log_aggregator::collector
