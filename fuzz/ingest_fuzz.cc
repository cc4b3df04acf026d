// Any bytes as a request to post records: its headers, its body as an array or as lines.

#include <fuzzer/FuzzedDataProvider.h>

#include "collector/http/ingest.h"
#include "fuzz/expect.h"

using namespace log_aggregator;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size) {
  FuzzedDataProvider data(input, size);
  collector::HttpRequest request{
      .method = "POST", .path = "/api/logs", .query = "", .headers = {}, .body = ""};
  request.headers.emplace_back(
      "Content-Type",
      data.PickValueInArray({"application/json", "application/x-ndjson", "text/plain"}));
  if (data.ConsumeBool()) {
    request.headers.emplace_back("Log-Aggregator-Journal", "00112233-4455-4677-8899-aabbccddeeff");
    request.headers.emplace_back("Log-Aggregator-Sequence", data.ConsumeRandomLengthString(60));
    if (data.ConsumeBool()) {
      request.headers.emplace_back("Log-Aggregator-Skipped", data.ConsumeRandomLengthString(60));
    }
  }
  request.body = data.ConsumeRemainingBytesAsString();
  if (collector::check_ingest_headers(request)) return 0;
  const collector::IngestLimits limits{.max_records = 100, .max_bytes = 1 << 16};
  const auto read = collector::parse_ingest(request, limits, 0);
  const auto* const ingest = std::get_if<collector::Ingest>(&read);
  if (ingest != nullptr) {
    expect(ingest->batch.records.size() + ingest->bad.size() <= limits.max_records);
  }
  return 0;
}
