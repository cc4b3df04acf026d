// Any bytes as an answer that is quoted in a report: short, printable, and without our secrets.

#include <fuzzer/FuzzedDataProvider.h>

#include <algorithm>

#include "fuzz/expect.h"
#include "src/deliver/redact.h"

using namespace log_aggregator;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size) {
  FuzzedDataProvider data(input, size);
  const std::string secret = "canary-" + data.ConsumeBytesAsString(3);
  const std::string payload = data.ConsumeRandomLengthString(100);
  const RecordView record{.sequence = 1, .severity = 20, .time_ns = 0, .payload = payload};
  std::string text = data.ConsumeRandomLengthString(500);
  text += secret + data.ConsumeRemainingBytesAsString();
  const Headers headers{{"Authorization", "Bearer " + secret}};
  for (const std::string& excerpt :
       {safe_excerpt(text, headers, {&record, 1}), safe_excerpt(text)}) {
    expect(excerpt.size() < 2000);
    expect(std::none_of(excerpt.begin(), excerpt.end(),
                        [](unsigned char c) { return c < 0x20 || c == 0x7f; }));
  }
  return 0;
}
