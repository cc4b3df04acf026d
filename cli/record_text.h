// A stored record as a person reads it: time, level, logger, message and extras in one line, with
// exception and stack indented below. Whatever the record holds is harmless for a terminal.

#pragma once

#include <string>
#include <string_view>

#include "log_aggregator/status.h"

namespace log_aggregator::cli {

// `json` is one record as the API answers it. The text ends with a line feed.
Result<std::string> record_text(std::string_view json, bool colours);

}  // namespace log_aggregator::cli
