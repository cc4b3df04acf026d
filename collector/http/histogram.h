// GET /api/histogram: its parameters into a query of the store, and the counts into the answer.

#pragma once

#include <cstdint>
#include <string_view>
#include <variant>
#include <vector>

#include "collector/http/message.h"
#include "collector/store/store.h"

namespace log_aggregator::collector {

// `now_us` is where the time ends that nobody has asked for.
std::variant<HistogramQuery, HttpError> parse_histogram_query(std::string_view query,
                                                              std::int64_t now_us);

// {"from":"...","to":"...","step_ms":...,"buckets":[{"time":"...","counts":{"INFO":1}}]}
HttpResponse histogram_response(const HistogramQuery& query,
                                const std::vector<HistogramCount>& counts);

}  // namespace log_aggregator::collector
