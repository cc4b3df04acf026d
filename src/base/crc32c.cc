#include "src/base/crc32c.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#include <wmmintrin.h>
#elif defined(__aarch64__)
#include <arm_acle.h>
#include <sys/auxv.h>
#endif

namespace log_aggregator {
namespace {

// Each takes and gives the CRC inverted.
using Update = std::uint32_t (*)(std::uint32_t crc, const char* bytes, std::size_t count);

constexpr std::uint32_t kPolynomial = 0x82F63B78;  // reflected

// A CRC behind as many more bits of zeros: it, times x to the power of `bits`.
constexpr std::uint32_t behind_zeros(std::uint32_t crc, int bits) {
  for (; bits > 0; --bits) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0);
  return crc;
}

constexpr std::array<std::uint32_t, 256> make_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < table.size(); ++i) table[i] = behind_zeros(i, 8);
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
  if (count >= 4) {
    std::uint32_t word = 0;
    std::memcpy(&word, bytes, sizeof word);
    narrow = _mm_crc32_u32(narrow, word);
    count -= 4;
    bytes += 4;
  }
  for (; count > 0; --count, ++bytes) {
    narrow = _mm_crc32_u8(narrow, static_cast<unsigned char>(*bytes));
  }
  return narrow;
}

constexpr std::size_t kWordBytes = 8;
constexpr std::size_t kMostWordsInLane = 64;
constexpr std::size_t kFewestWordsInLane = 4;  // for fewer, joining costs what lanes save

// At n: x to the power of 64 n - 33, reflected. Multiplied by it, and reduced by the instruction,
// a CRC becomes that of the same bytes with n words of zeros behind them.
constexpr auto make_shifts() {
  std::array<std::uint32_t, 2 * kMostWordsInLane + 1> shifts{};
  shifts[1] = 1;
  for (std::size_t n = 2; n < shifts.size(); ++n) shifts[n] = behind_zeros(shifts[n - 1], 64);
  return shifts;
}

__attribute__((target("sse4.2,pclmul"))) std::uint64_t multiply(std::uint64_t crc,
                                                                std::uint32_t power) {
  return static_cast<std::uint64_t>(_mm_cvtsi128_si64(_mm_clmulepi64_si128(
      _mm_cvtsi64_si128(static_cast<std::int64_t>(crc)), _mm_cvtsi64_si128(power), 0)));
}

// In three lanes side by side: the instruction takes three cycles, and may be begun in each.
__attribute__((target("sse4.2,pclmul"))) std::uint32_t update_in_lanes(std::uint32_t crc,
                                                                       const char* bytes,
                                                                       std::size_t count) {
  static constexpr auto kShifts = make_shifts();
  const auto word_at = [&](std::size_t offset) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes + offset, sizeof word);
    return word;
  };
  while (count >= 3 * kFewestWordsInLane * kWordBytes) {
    const std::size_t words = std::min(count / (3 * kWordBytes), kMostWordsInLane);
    const std::size_t lane = words * kWordBytes;
    std::uint64_t first = crc;
    std::uint64_t second = 0;
    std::uint64_t third = 0;
    for (std::size_t at = 0; at < lane; at += kWordBytes) {
      first = _mm_crc32_u64(first, word_at(at));
      second = _mm_crc32_u64(second, word_at(lane + at));
      third = _mm_crc32_u64(third, word_at(2 * lane + at));
    }
    const std::uint64_t shifted =
        multiply(first, kShifts[2 * words]) ^ multiply(second, kShifts[words]);
    crc = static_cast<std::uint32_t>(_mm_crc32_u64(0, shifted) ^ third);
    bytes += 3 * lane;
    count -= 3 * lane;
  }
  return update_by_instruction(crc, bytes, count);
}

Update choose_update() {
  if (__builtin_cpu_supports("sse4.2") == 0) return update_by_table;
  return __builtin_cpu_supports("pclmul") != 0 ? update_in_lanes : update_by_instruction;
}

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

Update choose_update() {
  constexpr unsigned long kCrc32 = 1 << 7;  // HWCAP_CRC32
  return (getauxval(AT_HWCAP) & kCrc32) != 0 ? update_by_instruction : update_by_table;
}

#else

Update choose_update() { return update_by_table; }

#endif

}  // namespace

std::uint32_t crc32c(std::string_view bytes, std::uint32_t before) {
  const Update update = choose_update();
  return ~update(~before, bytes.data(), bytes.size());
}

}  // namespace log_aggregator
