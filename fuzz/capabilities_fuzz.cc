// Any bytes as the body of a health answer, or as what its members hold.

#include <fuzzer/FuzzedDataProvider.h>

#include <string>

#include "fuzz/expect.h"
#include "src/format/capabilities.h"

using namespace log_aggregator;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size) {
  FuzzedDataProvider data(input, size);
  const auto some = [&] { return data.ConsumeRandomLengthString(20); };
  std::string answer;
  if (data.ConsumeBool()) {
    answer = R"({"batch":{"max_records":)" + some() + R"(,"max_bytes":)" + some() +
             R"(},"formats":[)" + some() + R"(,"ndjson"],"encodings":["gzip",)" + some() + "]" +
             some() + "}";
  } else {
    answer = data.ConsumeRemainingBytesAsString();
  }
  const Capabilities taken = parse_capabilities(answer);
  expect(taken.max_records > 0 && taken.max_bytes > 0);
  return 0;
}
