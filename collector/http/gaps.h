// GET /api/gaps: its parameters into a query of the store, and what was found into the answer.

#pragma once

#include <string_view>
#include <variant>

#include "collector/http/message.h"
#include "collector/store/store.h"

namespace log_aggregator::collector {

// Refuses unknown parameters as well as bad values, naming the parameter.
std::variant<GapsQuery, HttpError> parse_gaps_query(std::string_view query);

// {"journals":[{"journal":"...",...,"missing":[[first,last],...],...}],"next":"..."}
HttpResponse gaps_response(const GapsPage& page);

}  // namespace log_aggregator::collector
