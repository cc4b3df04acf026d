// Any bytes as the query of the requests that ask for something.

#include <cstddef>
#include <cstdint>

#include "collector/http/gaps.h"
#include "collector/http/histogram.h"
#include "collector/http/query.h"
#include "collector/http/url.h"

using namespace log_aggregator;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size) {
  const std::string_view query(reinterpret_cast<const char*>(input), size);
  collector::parse_query(query);
  collector::parse_log_query(query);
  collector::parse_gaps_query(query);
  collector::parse_histogram_query(query, 0);
  collector::HttpRequest stream;
  stream.query = query;
  collector::parse_stream_query(stream);
  return 0;
}
