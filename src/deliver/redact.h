// Making a server's words fit to be shown: they may repeat what was sent to it.

#pragma once

#include <span>
#include <string>
#include <string_view>

#include "log_aggregator/options.h"
#include "src/journal/segment.h"

namespace log_aggregator {

// Up to 200 characters of `text`, on one line. Values of `headers` and what they hold, and every
// message, exception, stack and extra value of `records` that is longer than 7 characters, are
// masked; control characters are escaped.
std::string safe_excerpt(std::string_view text, const Headers& headers,
                         std::span<const RecordView> records);

// The same without secrets to look for.
std::string safe_excerpt(std::string_view text);

}  // namespace log_aggregator
