#include "src/base/json_escape.h"

#include <bit>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace log_aggregator {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD in UTF-8
constexpr std::size_t kWord = sizeof(std::uint64_t);

// Below this the widest step does not pay for its longer tail.
[[maybe_unused]] constexpr std::size_t kLongText = 128;

bool is_continuation(unsigned char c) { return (c & 0xC0) == 0x80; }

// What stands at the beginning of a text that does not begin with ASCII.
struct Sequence {
  std::size_t length;  // bytes to step over
  bool valid;          // whether they are one character of UTF-8
};

// A surrogate written as three bytes is stepped over whole, so that it yields one U+FFFD.
Sequence decode(const char* text, const char* end) {
  const auto byte = [&](std::ptrdiff_t i) {
    return i < end - text ? static_cast<unsigned char>(text[i]) : static_cast<unsigned char>(0);
  };
  const unsigned char first = byte(0);
  const unsigned char second = byte(1);
  if (!is_continuation(second)) return {1, false};
  if (first >= 0xC2 && first <= 0xDF) return {2, true};
  if (first >= 0xE0 && first <= 0xEF) {
    if (first == 0xE0 && second < 0xA0) return {1, false};
    if (!is_continuation(byte(2))) return {1, false};
    const bool surrogate = first == 0xED && second >= 0xA0;
    return {3, !surrogate};
  }
  if (first >= 0xF0 && first <= 0xF4) {
    if ((first == 0xF0 && second < 0x90) || (first == 0xF4 && second >= 0x90)) return {1, false};
    if (!is_continuation(byte(2)) || !is_continuation(byte(3))) return {1, false};
    return {4, true};
  }
  return {1, false};
}

char* write_ascii_escape(char* out, unsigned char c) {
  constexpr char kHex[] = "0123456789abcdef";
  const auto two = [out](char letter) {
    out[0] = '\\';
    out[1] = letter;
    return out + 2;
  };
  switch (c) {
    case '"':
    case '\\':
      return two(static_cast<char>(c));
    case '\n':
      return two('n');
    case '\r':
      return two('r');
    case '\t':
      return two('t');
    default:
      two('u');
      out[2] = out[3] = '0';
      out[4] = kHex[c >> 4];
      out[5] = kHex[c & 15];
      return out + 6;
  }
}

struct Cursor {
  const char* in;
  const char* const end;
  char* out;

  std::size_t left() const { return static_cast<std::size_t>(end - in); }
};

// What `in` points at does not stand for itself, or is beyond ASCII, and so may be what follows.
void write_special(Cursor& at) {
  do {
    const auto c = static_cast<unsigned char>(*at.in);
    if (c < 0x80) {
      at.out = write_ascii_escape(at.out, c);
      ++at.in;
      return;
    }
    const Sequence sequence = decode(at.in, at.end);
    const std::string_view character =
        sequence.valid ? std::string_view(at.in, sequence.length) : kReplacement;
    std::memcpy(at.out, character.data(), character.size());
    at.out += character.size();
    at.in += sequence.length;
  } while (at.in < at.end && static_cast<unsigned char>(*at.in) >= 0x80);
}

// ---- eight bytes at a time

constexpr std::uint64_t repeat(unsigned char c) { return 0x0101010101010101ULL * c; }

std::uint64_t load(const char* text) {
  std::uint64_t word = 0;
  std::memcpy(&word, text, sizeof word);
  return word;
}

// The high bit of each byte that does not stand for itself: exact for the lowest such byte, which
// is the one that is asked for.
std::uint64_t specials(std::uint64_t word) {
  const std::uint64_t quotes = word ^ repeat('"');
  const std::uint64_t backslashes = word ^ repeat('\\');
  const std::uint64_t marks = (quotes - repeat(1)) | (backslashes - repeat(1));
  return ((((word - repeat(0x20)) | marks) & ~word) | word) & repeat(0x80);
}

std::size_t lowest_byte(std::uint64_t high_bits) {
  return static_cast<std::size_t>(std::countr_zero(high_bits)) / 8;
}

// The bits of the first `bytes` bytes.
std::uint64_t low_bytes(std::size_t bytes) { return (std::uint64_t{1} << (8 * bytes)) - 1; }

// Less than a word from its two ends, which may overlap.
std::uint64_t load_short(const char* text, std::size_t bytes) {
  if (bytes >= 4) {
    std::uint32_t first = 0;
    std::uint32_t last = 0;
    std::memcpy(&first, text, 4);
    std::memcpy(&last, text + bytes - 4, 4);
    return first | static_cast<std::uint64_t>(last) << (8 * (bytes - 4));
  }
  const auto byte = [text](std::size_t i) {
    return static_cast<std::uint64_t>(static_cast<unsigned char>(text[i])) << (8 * i);
  };
  return bytes == 0 ? 0 : byte(0) | byte(bytes / 2) | byte(bytes - 1);
}

// What is left when no further step fits: a word, too, as `out` has room for it.
void escape_tail(Cursor& at) {
  while (at.in < at.end) {
    const std::size_t left = at.left();
    const std::uint64_t word = load_short(at.in, left);
    std::memcpy(at.out, &word, sizeof word);
    const std::uint64_t found = specials(word) & low_bytes(left);
    const std::size_t plain = found == 0 ? left : lowest_byte(found);
    at.in += plain;
    at.out += plain;
    if (found != 0) write_special(at);
  }
}

// A text of less than a word, or of one to two, as most names and arguments are, from its two ends.
// Null, and nothing to go by, where a byte does not stand for itself.
char* copy_less_than_word(char* out, std::string_view text) {
  const std::uint64_t word = load_short(text.data(), text.size());
  std::memcpy(out, &word, sizeof word);
  return (specials(word) & low_bytes(text.size())) == 0 ? out + text.size() : nullptr;
}

char* copy_up_to_two_words(char* out, std::string_view text) {
  const std::uint64_t first = load(text.data());
  const std::uint64_t last = load(text.data() + text.size() - kWord);
  if ((specials(first) | specials(last)) != 0) return nullptr;
  std::memcpy(out, &first, sizeof first);
  std::memcpy(out + text.size() - kWord, &last, sizeof last);
  return out + text.size();
}

void escape_words(Cursor& at) {
  while (at.left() >= kWord) {
    const std::uint64_t word = load(at.in);
    std::memcpy(at.out, &word, sizeof word);
    const std::uint64_t found = specials(word);
    const std::size_t plain = found == 0 ? kWord : lowest_byte(found);
    at.in += plain;
    at.out += plain;
    if (found != 0) write_special(at);
  }
  escape_tail(at);
}

// ---- sixteen and more: a Lane loads, stores and says where the first special byte is

#if defined(__x86_64__)

struct Lane16 {
  static constexpr std::size_t kBytes = 16;
  // The first byte that does not stand for itself; kBytes: none.
  static std::size_t copy(const char* in, char* out) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(in));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), bytes);
    // Signed: what is beyond ASCII is below zero, and so below a blank.
    const __m128i control = _mm_cmplt_epi8(bytes, _mm_set1_epi8(0x20));
    const __m128i quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"'));
    const __m128i backslash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'));
    const auto found = static_cast<unsigned>(
        _mm_movemask_epi8(_mm_or_si128(control, _mm_or_si128(quote, backslash))));
    return found == 0 ? kBytes : static_cast<std::size_t>(std::countr_zero(found));
  }
};

struct Lane32 {
  static constexpr std::size_t kBytes = 32;
  __attribute__((target("avx2"))) static std::size_t copy(const char* in, char* out) {
    const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(in));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), bytes);
    const __m256i control = _mm256_cmpgt_epi8(_mm256_set1_epi8(0x20), bytes);
    const __m256i quote = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('"'));
    const __m256i backslash = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('\\'));
    const auto found = static_cast<unsigned>(
        _mm256_movemask_epi8(_mm256_or_si256(control, _mm256_or_si256(quote, backslash))));
    return found == 0 ? kBytes : static_cast<std::size_t>(std::countr_zero(found));
  }
};

#elif defined(__aarch64__)

struct Lane16 {
  static constexpr std::size_t kBytes = 16;
  static std::size_t copy(const char* in, char* out) {
    const uint8x16_t bytes = vld1q_u8(reinterpret_cast<const std::uint8_t*>(in));
    vst1q_u8(reinterpret_cast<std::uint8_t*>(out), bytes);
    const uint8x16_t outside =
        vorrq_u8(vcltq_u8(bytes, vdupq_n_u8(0x20)), vcgeq_u8(bytes, vdupq_n_u8(0x80)));
    const uint8x16_t marks =
        vorrq_u8(vceqq_u8(bytes, vdupq_n_u8('"')), vceqq_u8(bytes, vdupq_n_u8('\\')));
    // Four bits for each byte.
    const uint8x8_t nibbles = vshrn_n_u16(vreinterpretq_u16_u8(vorrq_u8(outside, marks)), 4);
    const std::uint64_t found = vget_lane_u64(vreinterpret_u64_u8(nibbles), 0);
    return found == 0 ? kBytes : static_cast<std::size_t>(std::countr_zero(found)) / 4;
  }
};

#endif

#if defined(__x86_64__) || defined(__aarch64__)
// Copies what stands for itself, of a text of a lane or more, up to the first byte that does not.
// The last lane overlaps the one before: what it writes once more is the same.
void copy_lanes16(Cursor& at) {
  while (at.left() >= Lane16::kBytes) {
    const std::size_t plain = Lane16::copy(at.in, at.out);
    at.in += plain;
    at.out += plain;
    if (plain < Lane16::kBytes) return;
  }
  const std::size_t known = Lane16::kBytes - at.left();
  const std::size_t plain = Lane16::copy(at.in - known, at.out - known) - known;
  at.in += plain;
  at.out += plain;
}

void escape_by_16(Cursor& at) {
  while (at.left() >= Lane16::kBytes) {
    copy_lanes16(at);
    if (at.left() == 0) return;
    write_special(at);
  }
  escape_words(at);
}
#endif

#if defined(__x86_64__)
__attribute__((target("avx2"))) void escape_by_32(Cursor& at) {
  while (at.left() >= Lane32::kBytes) {
    const std::size_t plain = Lane32::copy(at.in, at.out);
    at.in += plain;
    at.out += plain;
    if (plain < Lane32::kBytes) write_special(at);
  }
  escape_by_16(at);
}

#endif

template <void (*Escape)(Cursor&)>
char* run(char* out, std::string_view utf8) {
  Cursor at{utf8.data(), utf8.data() + utf8.size(), out};
  Escape(at);
  return at.out;
}

bool has_wide_steps() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx2") != 0;
#else
  return false;
#endif
}

}  // namespace

char* write_json_escaped(char* out, std::string_view utf8) {
  if (utf8.size() <= 2 * kWord) {
    char* const end =
        utf8.size() < kWord ? copy_less_than_word(out, utf8) : copy_up_to_two_words(out, utf8);
    if (end != nullptr) return end;
  }
#if defined(__x86_64__)
  if (utf8.size() >= kLongText && has_wide_steps()) return run<escape_by_32>(out, utf8);
  return run<escape_by_16>(out, utf8);
#elif defined(__aarch64__)
  return run<escape_by_16>(out, utf8);
#else
  return run<escape_words>(out, utf8);
#endif
}

std::vector<JsonEscaper> json_escapers() {
  std::vector<JsonEscaper> all{{8, run<escape_words>}};
#if defined(__x86_64__) || defined(__aarch64__)
  all.push_back({16, run<escape_by_16>});
#endif
#if defined(__x86_64__)
  if (has_wide_steps()) all.push_back({32, run<escape_by_32>});
#endif
  return all;
}

}  // namespace log_aggregator
