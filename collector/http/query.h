// GET /api/logs: its parameters into a query of the store, and a page into the answer.

#pragma once

#include <string_view>
#include <variant>

#include "collector/http/message.h"
#include "collector/store/store.h"

namespace log_aggregator::collector {

// Refuses unknown parameters as well as bad values, naming the parameter.
std::variant<Query, HttpError> parse_log_query(std::string_view query);

// {"records":[{"id":...,...}],"next":"..."}
HttpResponse page_response(const Page& page);

}  // namespace log_aggregator::collector
