// What must be true of whatever a parser makes of any bytes: else the fuzzer stops there.

#pragma once

#include <cstdlib>

namespace log_aggregator {

inline void expect(bool holds) {
  if (!holds) std::abort();
}

}  // namespace log_aggregator
