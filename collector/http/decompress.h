// Decompresses request bodies, never into more memory than a limit allows.

#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <variant>

#include "collector/http/message.h"

namespace log_aggregator::collector {

// `encoding` is the value of Content-Encoding: "gzip", "zstd", "identity" or "" in any case; others
// are 415. A text longer than `limit` bytes is 413 and never built, what is damaged or cut off 400.
std::variant<std::string, HttpError> decompress(std::string body, std::string_view encoding,
                                                std::size_t limit);

}  // namespace log_aggregator::collector
