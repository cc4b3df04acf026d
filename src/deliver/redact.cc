#include "src/deliver/redact.h"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <numeric>
#include <optional>
#include <vector>

#include "log_aggregator/json_writer.h"
#include "src/base/base64.h"

namespace log_aggregator {
namespace {

constexpr std::size_t kMaxCharacters = 200;
// Looked through for secrets; what is shown comes from its beginning.
constexpr std::size_t kMaxExamined = 64 << 10;
constexpr std::size_t kMinValueLength = 8;
constexpr std::size_t kMinSecretLength = 3;  // shorter ones would mask every other word
constexpr std::string_view kMask = "***";
constexpr std::size_t kMaxWork = 4 * kMaxExamined;  // bytes compared for one secret

void append_utf8(std::string& out, std::uint32_t character) {
  const auto put = [&out](std::uint32_t byte) { out += static_cast<char>(byte); };
  if (character < 0x80) {
    put(character);
  } else if (character < 0x800) {
    put(0xC0 | character >> 6);
    put(0x80 | (character & 0x3F));
  } else if (character < 0x10000) {
    put(0xE0 | character >> 12);
    put(0x80 | (character >> 6 & 0x3F));
    put(0x80 | (character & 0x3F));
  } else {
    put(0xF0 | character >> 18);
    put(0x80 | (character >> 12 & 0x3F));
    put(0x80 | (character >> 6 & 0x3F));
    put(0x80 | (character & 0x3F));
  }
}

// The number in \u12AB at the beginning of `text`, if that is what stands there.
std::optional<std::uint32_t> unicode_escape(std::string_view text) {
  if (text.size() < 6 || text[0] != '\\' || text[1] != 'u') return std::nullopt;
  std::uint32_t value = 0;
  const auto result = std::from_chars(text.data() + 2, text.data() + 6, value, 16);
  if (result.ptr != text.data() + 6) return std::nullopt;
  return value;
}

// Appends what the beginning of `text` stands for in JSON, a byte or an escape, and returns the
// length of that.
std::size_t append_unescaped(std::string& out, std::string_view text) {
  if (const auto high = unicode_escape(text)) {
    const auto low = unicode_escape(text.substr(6));
    const bool pair = low && *high >> 10 == 0xD800 >> 10 && *low >> 10 == 0xDC00 >> 10;
    append_utf8(out, pair ? 0x10000 + ((*high & 0x3FF) << 10 | (*low & 0x3FF)) : *high);
    return pair ? 12 : 6;
  }
  constexpr std::string_view kEscapes = "nrtbf\"\\/";
  constexpr std::string_view kMeanings = "\n\r\t\b\f\"\\/";
  const std::size_t found =
      text[0] == '\\' && text.size() > 1 ? kEscapes.find(text[1]) : std::string_view::npos;
  out += found == std::string_view::npos ? text[0] : kMeanings[found];
  return found == std::string_view::npos ? 1 : 2;
}

// A text to search, and where each of its bytes stands in the text that is shown.
struct Searched {
  std::string text;
  std::vector<std::size_t> at;  // one more than bytes: the end, too
};

Searched as_it_is(std::string_view text) {
  Searched searched{std::string(text), std::vector<std::size_t>(text.size() + 1)};
  std::iota(searched.at.begin(), searched.at.end(), std::size_t{0});
  return searched;
}

// JSON's escapes resolved, of which every server has its own taste.
Searched unescaped(std::string_view text) {
  Searched searched;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = append_unescaped(searched.text, text.substr(at));
    searched.at.resize(searched.text.size(), at);
    at += length;
  }
  searched.at.push_back(text.size());
  return searched;
}

// Which bytes of a text are not to be shown.
class Mask {
 public:
  explicit Mask(std::string_view text)
      : text_(text), hidden_(text.size()), searched_{as_it_is(text), unescaped(text)} {}

  // Hides `secret`, and what of it a server may have cut: 8 of its first characters or more.
  void hide(std::string_view secret, std::size_t min_length) {
    if (secret.size() < min_length) return;
    const std::size_t least = std::min(secret.size(), std::max(min_length, kMinValueLength));
    for (const Searched& searched : searched_) hide_in(searched, secret, least);
  }

  // Hides `secret` where all of it stands.
  void hide_whole(std::string_view secret) {
    if (secret.size() < kMinSecretLength) return;
    for (const Searched& searched : searched_) hide_in(searched, secret, secret.size());
  }

  std::string apply() const {
    std::string shown;
    for (std::size_t at = 0; at < text_.size(); ++at) {
      if (!hidden_[at]) {
        shown += text_[at];
      } else if (at == 0 || !hidden_[at - 1]) {
        shown += kMask;
      }
    }
    return shown;
  }

 private:
  // A text that repeats itself, and the secret, matches nearly everywhere: it is hidden whole
  // before looking at it takes too long.
  void hide_in(const Searched& searched, std::string_view secret, std::size_t least) {
    const std::string_view text = searched.text;
    const std::string_view first = secret.substr(0, least);
    std::size_t work = 0;
    for (std::size_t at = text.find(first); at != std::string_view::npos;
         at = text.find(first, at + 1)) {
      std::size_t end = at + least;
      while (end < text.size() && end - at < secret.size() && text[end] == secret[end - at]) ++end;
      work += end - at;
      if (work > kMaxWork) end = text.size();
      std::fill(hidden_.begin() + static_cast<std::ptrdiff_t>(searched.at[at]),
                hidden_.begin() + static_cast<std::ptrdiff_t>(searched.at[end]), true);
      if (work > kMaxWork) return;
    }
  }

  const std::string_view text_;
  std::vector<bool> hidden_;
  const std::array<Searched, 2> searched_;
};

// "Bearer abc": the whole and the token. "Basic dTpw": user and password as well.
void hide_header(const Header& header, Mask& mask) {
  const std::size_t space = header.value.find(' ');
  if (space == std::string::npos) {
    mask.hide(header.value, kMinSecretLength);
    return;
  }
  mask.hide_whole(header.value);
  const std::string token = header.value.substr(space + 1);
  mask.hide(token, kMinSecretLength);
  if (header.value.substr(0, space) != "Basic") return;
  const std::string pair = base64_decode(token);
  const std::size_t colon = pair.find(':');
  if (colon == std::string::npos) return;
  mask.hide(pair.substr(0, colon), kMinSecretLength);
  mask.hide(pair.substr(colon + 1), kMinSecretLength);
}

void hide_values(const simdjson::dom::element& value, Mask& mask) {
  switch (value.type()) {
    case simdjson::dom::element_type::OBJECT:
      for (const auto member : simdjson::dom::object(value)) hide_values(member.value, mask);
      return;
    case simdjson::dom::element_type::ARRAY:
      for (const auto element : simdjson::dom::array(value)) hide_values(element, mask);
      return;
    case simdjson::dom::element_type::STRING:
      mask.hide(std::string_view(value), kMinValueLength);
      return;
    default:
      mask.hide(simdjson::minify(value), kMinValueLength);
  }
}

// Every string and number of a record that the parser cannot take, as it has integers past 64 bits
// or is nested too deeply.
void hide_tokens(std::string_view json, Mask& mask) {
  constexpr std::string_view kNumber = "+-.0123456789Ee";
  for (std::size_t at = 0; at < json.size();) {
    if (json[at] == '"') {
      std::string text;
      for (++at; at < json.size() && json[at] != '"';) {
        at += append_unescaped(text, json.substr(at));
      }
      mask.hide(text, kMinValueLength);
    }
    const std::size_t end = std::min(json.find_first_not_of(kNumber, at), json.size());
    mask.hide(json.substr(at, end - at), kMinValueLength);
    at = std::max(end, at + 1);
  }
}

void hide_record(const RecordView& record, simdjson::dom::parser& parser, Mask& mask) {
  simdjson::dom::element root;
  const auto error = parser.parse(record.payload.data(), record.payload.size()).get(root);
  if (error != simdjson::SUCCESS) return hide_tokens(record.payload, mask);
  for (const std::string_view name : {"message", "exception", "stack", "extra"}) {
    simdjson::dom::element value;
    if (root[name].get(value) == simdjson::SUCCESS) hide_values(value, mask);
  }
}

// How many bytes the character at the beginning of `text` has, as its first one says, as far as
// the others are what they should be.
std::size_t character_length(std::string_view text) {
  const auto first = static_cast<unsigned char>(text[0]);
  const std::size_t most = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : first >= 0xC0 ? 2 : 1;
  std::size_t length = 1;
  while (length < std::min(most, text.size()) &&
         (static_cast<unsigned char>(text[length]) & 0xC0) == 0x80) {
    ++length;
  }
  return length;
}

// Whether a character of more than one byte is a C1 control, invisible, or one of the marks that
// reorder text.
bool is_wide_control(std::string_view character) {
  if (character.size() == 2 && character[0] == '\xC2') {
    return static_cast<unsigned char>(character[1]) < 0xA0;
  }
  if (character.size() == 3 && character[0] == '\xE2') {
    const auto last = static_cast<unsigned char>(character[2]);
    if (character[1] == '\x81') return last >= 0xA0 && last <= 0xAF;  // U+2060..U+206F
    // U+200B..U+200F, U+2028..U+202E
    return character[1] == '\x80' &&
           ((last >= 0x8B && last <= 0x8F) || (last >= 0xA8 && last <= 0xAE));
  }
  return character == "\xD8\x9C" || character == "\xEF\xBB\xBF" ||
         character.substr(0, 2) == "\xF3\xA0";
}

// One line, cut to what a person reads, with nothing in it that a terminal would obey.
std::string escape_and_cut(std::string_view text) {
  std::string line;
  std::size_t at = 0;
  for (std::size_t count = 0; at < text.size() && count < kMaxCharacters; ++count) {
    const std::string_view character = text.substr(at, character_length(text.substr(at)));
    if (character == "\"" || character == "\\") {
      line += character;
    } else if (character == "\x7F" || is_wide_control(character)) {
      line += '?';
    } else {
      append_json_escaped(line, character);
    }
    at += character.size();
  }
  if (at < text.size()) line += "...";
  return line;
}

}  // namespace

std::string safe_excerpt(std::string_view text, const Headers& headers,
                         std::span<const RecordView> records) {
  Mask mask(text.substr(0, kMaxExamined));
  for (const Header& header : headers) hide_header(header, mask);
  simdjson::dom::parser parser;
  for (const RecordView& record : records) hide_record(record, parser, mask);
  return escape_and_cut(mask.apply());
}

std::string safe_excerpt(std::string_view text) { return safe_excerpt(text, {}, {}); }

}  // namespace log_aggregator
