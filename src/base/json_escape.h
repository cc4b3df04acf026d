// Escaping text as the inside of a JSON string: the one loop over every byte that is logged.
//
// 16 bytes at once where the processor surely can (SSE2, NEON), else 8; for long texts 32, where it
// turns out to be able to (AVX2). Bytes that are not UTF-8 become U+FFFD.

#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace log_aggregator {

// What has to be writable at `out` for a text of that many bytes.
constexpr std::size_t escaped_room(std::size_t bytes) { return 6 * bytes + 32; }

// Returns the end of what was written. What lies behind it, within that room, may be overwritten.
char* write_json_escaped(char* out, std::string_view utf8);

// Those that this processor can run, by how many bytes they take at once; all write the same. For
// tests.
struct JsonEscaper {
  int lane_bytes = 0;
  char* (*write)(char* out, std::string_view utf8) = nullptr;
};
std::vector<JsonEscaper> json_escapers();

}  // namespace log_aggregator
