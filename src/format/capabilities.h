// What an API takes, as its health answer tells:
//
//   {"status":"ok","batch":{"max_records":10000,"max_bytes":8388608},
//    "formats":["array","ndjson"],"encodings":["zstd","gzip"]}

#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace log_aggregator {

// As it stands here: an API that says nothing, which gets one plain JSON object for each POST.
struct Capabilities {
  std::size_t max_records = 1;
  std::size_t max_bytes = SIZE_MAX;  // of a request, decompressed
  bool ndjson = false;               // else more than one record makes an array
  bool zstd = false;
  bool gzip = false;
};

Capabilities parse_capabilities(std::string_view health_answer);

}  // namespace log_aggregator
