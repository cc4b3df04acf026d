// Any bytes as a compressed body: never more than the limit comes out of it.

#include <fuzzer/FuzzedDataProvider.h>

#include "collector/http/decompress.h"
#include "fuzz/expect.h"

using namespace log_aggregator;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size) {
  FuzzedDataProvider data(input, size);
  const char* const encoding = data.PickValueInArray({"gzip", "zstd", "br"});
  const auto limit = data.ConsumeIntegralInRange<std::size_t>(0, 1 << 16);
  const auto text = collector::decompress(data.ConsumeRemainingBytesAsString(), encoding, limit);
  if (const auto* body = std::get_if<std::string>(&text)) expect(body->size() <= limit);
  return 0;
}
