// Random identifiers, as RFC 4122 version 4 has them.

#pragma once

#include <string>

namespace log_aggregator {

// For example "9b2f0c1e-5d4a-4f7b-8a56-0d3f1e2c4b5a".
std::string make_uuid();

}  // namespace log_aggregator
