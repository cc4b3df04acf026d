// Any bytes as the beginning of a program.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "fuzz/expect.h"
#include "src/base/elf.h"

using namespace log_aggregator;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(input), size);
  const auto facts = read_elf(bytes);
  if (!facts || facts->build_id.empty()) return 0;
  expect(facts->build_id.data() > bytes.data());
  expect(facts->build_id.data() + facts->build_id.size() <= bytes.data() + bytes.size());
  return 0;
}
