// Any bytes as a record's timestamp: what is understood is written so that it is understood again.

#include <cstddef>
#include <cstdint>

#include "collector/timestamp.h"
#include "fuzz/expect.h"

using namespace log_aggregator;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size) {
  const auto time = collector::parse_timestamp({reinterpret_cast<const char*>(input), size});
  if (time) expect(collector::parse_timestamp(collector::timestamp_text(*time)) == time);
  return 0;
}
