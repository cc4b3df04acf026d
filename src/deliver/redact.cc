#include "src/deliver/redact.h"

#include <simdjson.h>

#include <algorithm>
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

// Which bytes of a text are not to be shown.
class Mask {
 public:
  explicit Mask(std::string_view text) : text_(text), hidden_(text.size()) {}

  // Hides `secret` as it is and as it looks inside of JSON.
  void hide(std::string_view secret, std::size_t min_length) {
    if (secret.size() < min_length) return;
    hide_literal(secret);
    escaped_.clear();
    append_json_escaped(escaped_, secret);
    if (escaped_ != secret) hide_literal(escaped_);
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
  void hide_literal(std::string_view secret) {
    for (std::size_t at = text_.find(secret); at != std::string_view::npos;
         at = text_.find(secret, at + 1)) {
      std::fill_n(hidden_.begin() + static_cast<std::ptrdiff_t>(at), secret.size(), true);
    }
  }

  const std::string_view text_;
  std::vector<bool> hidden_;
  std::string escaped_;
};

// "Bearer abc": the whole and the token. "Basic dTpw": user and password as well.
void hide_header(const Header& header, Mask& mask) {
  mask.hide(header.value, kMinSecretLength);
  const std::size_t space = header.value.find(' ');
  if (space == std::string::npos) return;
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

void hide_record(const RecordView& record, simdjson::dom::parser& parser, Mask& mask) {
  simdjson::dom::element root;
  const auto error = parser.parse(record.payload.data(), record.payload.size()).get(root);
  if (error != simdjson::SUCCESS) return;
  for (const std::string_view name : {"message", "exception", "stack", "extra"}) {
    simdjson::dom::element value;
    if (root[name].get(value) == simdjson::SUCCESS) hide_values(value, mask);
  }
}

// Whether a character of more than one byte is a C1 control or one of the marks that reorder text.
bool is_wide_control(std::string_view character) {
  if (character.size() == 2 && character[0] == '\xC2') {
    return static_cast<unsigned char>(character[1]) < 0xA0;
  }
  return character.size() == 3 && character[0] == '\xE2' &&
         (character[1] == '\x80' || character[1] == '\x81');
}

// One line, cut to what a person reads, with nothing in it that a terminal would obey.
std::string escape_and_cut(std::string_view text) {
  std::string line;
  std::size_t at = 0;
  for (std::size_t count = 0; at < text.size() && count < kMaxCharacters; ++count) {
    std::size_t end = at + 1;
    while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) ++end;
    const std::string_view character = text.substr(at, end - at);
    if (character == "\"" || character == "\\") {
      line += character;
    } else if (character == "\x7F" || is_wide_control(character)) {
      line += '?';
    } else {
      append_json_escaped(line, character);
    }
    at = end;
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
