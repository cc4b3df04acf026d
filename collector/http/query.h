// GET /api/logs and what is below it: their parameters into queries of the store, and what that
// finds into answers.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "collector/http/message.h"
#include "collector/store/store.h"

namespace log_aggregator::collector {

// Refuses unknown parameters as well as bad values, naming the parameter.
std::variant<Query, HttpError> parse_log_query(std::string_view query);

// What GET /api/logs/stream asks for.
struct StreamQuery : Selection {
  std::optional<std::int64_t> after;
};

std::variant<StreamQuery, HttpError> parse_stream_query(const HttpRequest& request);

// The last segment of the path.
std::variant<std::int64_t, HttpError> parse_record_id(std::string_view path);

HttpResponse record_response(const std::optional<StoredRecord>& record);

// {"id":...,...}
std::string record_with_id(const StoredRecord& record);

// {"records":[{"id":...,...}],"next":"..."}
HttpResponse page_response(const Page& page);

}  // namespace log_aggregator::collector
