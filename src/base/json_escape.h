// Escaping text as the inside of a JSON string: the one loop over every byte that is logged.
//
// Steps of 8 bytes everywhere, of 16 where the processor surely has them (SSE2, NEON), of 32 for
// long texts where it turns out to (AVX2). Bytes that are not UTF-8 become U+FFFD.

#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace log_aggregator {

// What has to be writable at `out` for a text of that many bytes.
constexpr std::size_t escaped_room(std::size_t bytes) { return 6 * bytes + 32; }

// Returns the end of what was written. What lies behind it, within that room, may be overwritten.
char* write_json_escaped(char* out, std::string_view utf8);

// Those that this processor can run, by the bytes of a step; all write the same. For tests.
struct JsonEscaper {
  int step_bytes = 0;
  char* (*write)(char* out, std::string_view utf8) = nullptr;
};
std::vector<JsonEscaper> json_escapers();

}  // namespace log_aggregator
