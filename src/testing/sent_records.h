// What a request carried, as a server understands it.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace log_aggregator::testing {

// The body without its Content-Encoding ("zstd", "gzip" or empty). Throws where it is damaged.
std::string decoded(std::string_view encoding, std::string_view body);

// The records of a decoded body, minified, by its Content-Type. Throws where it is not valid.
std::vector<std::string> records_of(std::string_view content_type, std::string_view body);

// The member `name`, a number, of each record that has one: the handler's own notices have none.
std::vector<std::uint64_t> numbers_of(const std::vector<std::string>& records,
                                      std::string_view name);

}  // namespace log_aggregator::testing
