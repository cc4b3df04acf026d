// Any bytes as the answer to a batch, or as what its members hold.

#include <fuzzer/FuzzedDataProvider.h>

#include <string>

#include "fuzz/expect.h"
#include "src/format/verdict.h"

using namespace log_aggregator;

namespace {

std::string some_answer(FuzzedDataProvider& data) {
  std::string errors;
  const int count = data.ConsumeIntegralInRange(0, 5);
  for (int i = 0; i < count; ++i) {
    if (i > 0) errors += ',';
    errors += R"({"index":)" + std::to_string(data.ConsumeIntegralInRange(0, 6)) +
              R"(,"reason":")" + data.ConsumeRandomLengthString(10) + "\"}";
  }
  return R"({"stored":)" + std::to_string(data.ConsumeIntegralInRange(0, 6)) + R"(,"duplicates":)" +
         data.ConsumeRandomLengthString(3) + R"(,"errors":[)" + errors + "]}";
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size) {
  FuzzedDataProvider data(input, size);
  const int status = data.ConsumeBool() ? 400 : data.ConsumeIntegralInRange(100, 599);
  const auto records = data.ConsumeIntegralInRange<std::size_t>(1, 8);
  const std::string body =
      data.ConsumeBool() ? some_answer(data) : data.ConsumeRemainingBytesAsString();
  const Verdict verdict = judge(status, body, records);
  expect(verdict.refused.empty() || verdict.fate == Fate::partly);
  for (const RefusedRecord& refused : verdict.refused) expect(refused.index < records);
  return 0;
}
