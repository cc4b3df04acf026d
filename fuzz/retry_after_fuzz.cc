// Any bytes as the value of Retry-After.

#include <cstddef>
#include <cstdint>

#include "fuzz/expect.h"
#include "src/deliver/retry.h"

using namespace log_aggregator;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size) {
  const std::string value(reinterpret_cast<const char*>(input), size);
  const auto wait = parse_retry_after(value, std::chrono::system_clock::time_point());
  expect(!wait || (*wait >= std::chrono::seconds(0) && *wait <= std::chrono::minutes(5)));
  return 0;
}
