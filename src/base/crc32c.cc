#include "src/base/crc32c.h"

#include <array>
#include <cstddef>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__aarch64__)
#include <arm_acle.h>
#include <sys/auxv.h>
#endif

namespace log_aggregator {
namespace {

// Each takes and gives the CRC inverted.
using Update = std::uint32_t (*)(std::uint32_t crc, const char* bytes, std::size_t count);

constexpr std::uint32_t kPolynomial = 0x82F63B78;  // reflected

constexpr std::array<std::uint32_t, 256> make_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < table.size(); ++i) {
    std::uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0);
    table[i] = crc;
  }
  return table;
}

std::uint32_t update_by_table(std::uint32_t crc, const char* bytes, std::size_t count) {
  static constexpr std::array<std::uint32_t, 256> kTable = make_table();
  for (; count > 0; --count, ++bytes) {
    crc = (crc >> 8) ^ kTable[(crc ^ static_cast<unsigned char>(*bytes)) & 0xFF];
  }
  return crc;
}

#if defined(__x86_64__)

__attribute__((target("sse4.2"))) std::uint32_t update_by_instruction(std::uint32_t crc,
                                                                      const char* bytes,
                                                                      std::size_t count) {
  std::uint64_t wide = crc;
  for (; count >= 8; count -= 8, bytes += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes, sizeof word);
    wide = _mm_crc32_u64(wide, word);
  }
  auto narrow = static_cast<std::uint32_t>(wide);
  for (; count > 0; --count, ++bytes) {
    narrow = _mm_crc32_u8(narrow, static_cast<unsigned char>(*bytes));
  }
  return narrow;
}

bool has_instruction() { return __builtin_cpu_supports("sse4.2") != 0; }

#elif defined(__aarch64__)

__attribute__((target("+crc"))) std::uint32_t update_by_instruction(std::uint32_t crc,
                                                                    const char* bytes,
                                                                    std::size_t count) {
  for (; count >= 8; count -= 8, bytes += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes, sizeof word);
    crc = __crc32cd(crc, word);
  }
  for (; count > 0; --count, ++bytes) crc = __crc32cb(crc, static_cast<unsigned char>(*bytes));
  return crc;
}

bool has_instruction() {
  constexpr unsigned long kCrc32 = 1 << 7;  // HWCAP_CRC32
  return (getauxval(AT_HWCAP) & kCrc32) != 0;
}

#else

constexpr Update update_by_instruction = update_by_table;
bool has_instruction() { return false; }

#endif

}  // namespace

std::uint32_t crc32c(std::string_view bytes, std::uint32_t before) {
  // Not a global: handlers that are globals of an application use it before main().
  static const Update update =
      has_instruction() ? Update{update_by_instruction} : Update{update_by_table};
  return ~update(~before, bytes.data(), bytes.size());
}

}  // namespace log_aggregator
