#include "src/base/json_escape.h"

#include <array>
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

// Below this the widest lane does not pay for its longer tail.
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

// How a byte of ASCII that does not stand for itself is written.
struct Escape {
  char text[7];
  std::uint8_t length;
};
static_assert(sizeof(Escape) == 8);

constexpr auto kEscapes = [] {
  constexpr char kHex[] = "0123456789abcdef";
  std::array<Escape, '\\' + 1> escapes{};
  for (std::size_t c = 0; c < ' '; ++c) {
    escapes[c] = {{'\\', 'u', '0', '0', kHex[c >> 4], kHex[c & 15]}, 6};
  }
  escapes['\n'] = {{'\\', 'n'}, 2};
  escapes['\r'] = {{'\\', 'r'}, 2};
  escapes['\t'] = {{'\\', 't'}, 2};
  escapes['"'] = {{'\\', '"'}, 2};
  escapes['\\'] = {{'\\', '\\'}, 2};
  return escapes;
}();

struct Cursor {
  const char* in;
  const char* const end;
  char* out;

  std::size_t left() const { return static_cast<std::size_t>(end - in); }
};

// What `in` points at is beyond ASCII, and so may be what follows.
[[gnu::noinline]] void write_beyond_ascii(Cursor& at) {
  do {
    const Sequence sequence = decode(at.in, at.end);
    const std::string_view character =
        sequence.valid ? std::string_view(at.in, sequence.length) : kReplacement;
    std::memcpy(at.out, character.data(), character.size());
    at.out += character.size();
    at.in += sequence.length;
  } while (at.in < at.end && static_cast<unsigned char>(*at.in) >= 0x80);
}

// What `in` points at does not stand for itself.
[[gnu::always_inline]] inline void write_special(Cursor& at) {
  const auto c = static_cast<unsigned char>(*at.in);
  if (c >= 0x80) return write_beyond_ascii(at);
  const Escape& escape = kEscapes[c];
  std::memcpy(at.out, &escape, sizeof escape);  // in one step, what lies behind the text as well
  at.out += escape.length;
  ++at.in;
}

// ---- lanes: as many bytes as are looked at and copied at once
//
// Each says how many bytes stand for themselves, up to the first that does not. Less than a lane
// has zeros behind it, which do not: load_short() takes a text that is no longer, load_last() the
// end of one that is.

constexpr std::uint64_t repeat(unsigned char c) { return 0x0101010101010101ULL * c; }

struct Lane8 {
  using Bytes = std::uint64_t;
  static constexpr std::size_t kBytes = 8;

  static Bytes load(const char* text) {
    Bytes bytes = 0;
    std::memcpy(&bytes, text, sizeof bytes);
    return bytes;
  }
  static void store(char* out, Bytes bytes) { std::memcpy(out, &bytes, sizeof bytes); }

  static Bytes load_last(const char* end, std::size_t count) {
    return load(end - kBytes) >> (8 * (kBytes - count));
  }
  // From its two ends, which may overlap.
  static Bytes load_short(const char* text, std::size_t count) {
    if (count >= 4) {
      std::uint32_t first = 0;
      std::uint32_t last = 0;
      std::memcpy(&first, text, 4);
      std::memcpy(&last, text + count - 4, 4);
      return first | static_cast<std::uint64_t>(last) << (8 * (count - 4));
    }
    const auto byte = [text](std::size_t i) {
      return static_cast<std::uint64_t>(static_cast<unsigned char>(text[i])) << (8 * i);
    };
    return count == 0 ? 0 : byte(0) | byte(count / 2) | byte(count - 1);
  }

  // The high bit of each byte that does not stand for itself: exact for the lowest such byte, which
  // is the one that is asked for.
  static Bytes specials(Bytes bytes) {
    const Bytes quotes = bytes ^ repeat('"');
    const Bytes backslashes = bytes ^ repeat('\\');
    const Bytes marks = (quotes - repeat(1)) | (backslashes - repeat(1));
    return ((((bytes - repeat(0x20)) | marks) & ~bytes) | bytes) & repeat(0x80);
  }
  static std::size_t plain(Bytes bytes) {
    const Bytes found = specials(bytes);
    return found == 0 ? kBytes : static_cast<std::size_t>(std::countr_zero(found)) / 8;
  }
};

#if defined(__x86_64__) || defined(__aarch64__)

// Sixteen bytes in two registers, for what is not whole.
struct Words {
  std::uint64_t low, high;
};

Words last_words(const char* end, std::size_t count) {
  __extension__ using Wide = unsigned __int128;
  Wide words = 0;
  std::memcpy(&words, end - sizeof words, sizeof words);
  words >>= 8 * (sizeof words - count);
  return {static_cast<std::uint64_t>(words), static_cast<std::uint64_t>(words >> 64)};
}

Words short_words(const char* text, std::size_t count) {
  if (count < Lane8::kBytes) return {Lane8::load_short(text, count), 0};
  const std::uint64_t last = Lane8::load(text + count - Lane8::kBytes);
  return {Lane8::load(text), last >> 8 >> (8 * (2 * Lane8::kBytes - 1 - count))};
}

#endif

#if defined(__x86_64__)

struct Lane16 {
  using Bytes = __m128i;
  static constexpr std::size_t kBytes = 16;

  static Bytes load(const char* text) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(text));
  }
  static void store(char* out, Bytes bytes) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), bytes);
  }
  static Bytes load_last(const char* end, std::size_t count) { return of(last_words(end, count)); }
  static Bytes load_short(const char* text, std::size_t count) {
    return of(short_words(text, count));
  }
  static Bytes of(Words words) {
    return _mm_set_epi64x(static_cast<long long>(words.high), static_cast<long long>(words.low));
  }
  static std::size_t plain(Bytes bytes) {
    // Signed: what is beyond ASCII is below zero, and so below a blank.
    const __m128i control = _mm_cmplt_epi8(bytes, _mm_set1_epi8(0x20));
    const __m128i quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"'));
    const __m128i backslash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'));
    const auto found = static_cast<unsigned>(
        _mm_movemask_epi8(_mm_or_si128(control, _mm_or_si128(quote, backslash))));
    return found == 0 ? kBytes : static_cast<std::size_t>(std::countr_zero(found));
  }
};

#elif defined(__aarch64__)

struct Lane16 {
  using Bytes = uint8x16_t;
  static constexpr std::size_t kBytes = 16;

  static Bytes load(const char* text) {
    return vld1q_u8(reinterpret_cast<const std::uint8_t*>(text));
  }
  static void store(char* out, Bytes bytes) {
    vst1q_u8(reinterpret_cast<std::uint8_t*>(out), bytes);
  }
  static Bytes load_last(const char* end, std::size_t count) { return of(last_words(end, count)); }
  static Bytes load_short(const char* text, std::size_t count) {
    return of(short_words(text, count));
  }
  static Bytes of(Words words) {
    return vcombine_u8(vcreate_u8(words.low), vcreate_u8(words.high));
  }
  static std::size_t plain(Bytes bytes) {
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

#else

using Lane16 = Lane8;

#endif

// ---- the loop

// A text of up to two words, as most names and arguments are, without one. Null, and nothing to go
// by, where a byte does not stand for itself.
char* copy_short(char* out, std::string_view text) {
  if (text.size() < Lane8::kBytes) {
    const Lane8::Bytes bytes = Lane8::load_short(text.data(), text.size());
    Lane8::store(out, bytes);
    return Lane8::plain(bytes) == text.size() ? out + text.size() : nullptr;
  }
  const std::size_t last_at = text.size() - Lane8::kBytes;
  const Lane8::Bytes first = Lane8::load(text.data());
  const Lane8::Bytes last = Lane8::load(text.data() + last_at);
  if ((Lane8::specials(first) | Lane8::specials(last)) != 0) return nullptr;
  Lane8::store(out, first);
  Lane8::store(out + last_at, last);
  return out + text.size();
}

// Of `count` bytes, writes those that stand for themselves, up to and with the first that does not.
template <typename Lane>
void step(Cursor& at, typename Lane::Bytes bytes, std::size_t count) {
  Lane::store(at.out, bytes);
  const std::size_t plain = Lane::plain(bytes);
  at.in += plain;
  at.out += plain;
  if (plain < count) write_special(at);
}

template <typename Lane>
char* escape(char* out, std::string_view utf8) {
  Cursor at{utf8.data(), utf8.data() + utf8.size(), out};
  if (utf8.size() < Lane::kBytes) {
    while (at.in < at.end) step<Lane>(at, Lane::load_short(at.in, at.left()), at.left());
    return at.out;
  }
  while (at.left() >= Lane::kBytes) step<Lane>(at, Lane::load(at.in), Lane::kBytes);
  while (at.in < at.end) step<Lane>(at, Lane::load_last(at.end, at.left()), at.left());
  return at.out;
}

#if defined(__x86_64__)

// A loop of its own, as step() is compiled for every processor.
__attribute__((target("avx2"))) char* escape_by_32(char* out, std::string_view utf8) {
  constexpr std::size_t kBytes = 32;
  Cursor at{utf8.data(), utf8.data() + utf8.size(), out};
  while (at.left() >= kBytes) {
    const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at.in));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(at.out), bytes);
    const __m256i control = _mm256_cmpgt_epi8(_mm256_set1_epi8(0x20), bytes);
    const __m256i quote = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('"'));
    const __m256i backslash = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('\\'));
    const auto found = static_cast<unsigned>(
        _mm256_movemask_epi8(_mm256_or_si256(control, _mm256_or_si256(quote, backslash))));
    const std::size_t plain =
        found == 0 ? kBytes : static_cast<std::size_t>(std::countr_zero(found));
    at.in += plain;
    at.out += plain;
    if (plain < kBytes) write_special(at);
  }
  return escape<Lane16>(at.out, {at.in, at.left()});
}

bool has_wide_lanes() { return __builtin_cpu_supports("avx2") != 0; }

#endif

}  // namespace

char* write_json_escaped(char* out, std::string_view utf8) {
  if (utf8.size() <= 2 * Lane8::kBytes) {
    if (char* const end = copy_short(out, utf8); end != nullptr) return end;
  }
#if defined(__x86_64__)
  if (utf8.size() >= kLongText && has_wide_lanes()) return escape_by_32(out, utf8);
#endif
  return escape<Lane16>(out, utf8);
}

std::vector<JsonEscaper> json_escapers() {
  std::vector<JsonEscaper> all{{Lane8::kBytes, escape<Lane8>}};
#if defined(__x86_64__) || defined(__aarch64__)
  all.push_back({Lane16::kBytes, escape<Lane16>});
#endif
#if defined(__x86_64__)
  if (has_wide_lanes()) all.push_back({32, escape_by_32});
#endif
  return all;
}

}  // namespace log_aggregator
