#include "collector/http/json_text.h"

#include <algorithm>

#include "src/base/text.h"

namespace log_aggregator::collector {

namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// The position after the string that begins at `quote`; npos where it does not end.
std::size_t skip_string(std::string_view text, std::size_t quote) {
  for (std::size_t i = quote + 1; i < text.size(); ++i) {
    if (text[i] == '"') return i + 1;
    if (text[i] == '\\') ++i;
  }
  return std::string_view::npos;
}

std::size_t skip_digits(std::string_view text, std::size_t position) {
  while (position < text.size() && is_digit(text[position])) ++position;
  return position;
}

// Whether all of `text` is a number by JSON's grammar.
bool is_number(std::string_view text) {
  if (!text.empty() && text.front() == '-') text.remove_prefix(1);
  std::size_t end = skip_digits(text, 0);
  if (end == 0 || (end > 1 && text.front() == '0')) return false;
  if (end < text.size() && text[end] == '.') {
    const std::size_t fraction = ++end;
    end = skip_digits(text, end);
    if (end == fraction) return false;
  }
  if (end < text.size() && (text[end] == 'e' || text[end] == 'E')) {
    ++end;
    if (end < text.size() && (text[end] == '+' || text[end] == '-')) ++end;
    const std::size_t exponent = end;
    end = skip_digits(text, end);
    if (end == exponent) return false;
  }
  return end == text.size();
}

}  // namespace

std::optional<std::vector<std::string_view>> split_json(std::string_view text, std::size_t most) {
  text = trim_blanks(text);
  std::vector<std::string_view> parts;
  std::string closers;  // of the brackets that are open, innermost last
  std::size_t begin = 1;
  const auto end_part = [&](std::size_t end) {
    parts.push_back(trim_blanks(text.substr(begin, end - begin)));
    begin = end + 1;
    return !parts.back().empty();
  };
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (c == '"') {
      i = skip_string(text, i);
      if (i == std::string_view::npos || closers.empty()) return std::nullopt;
      continue;
    }
    if (c == '[' || c == '{') {
      closers.push_back(c == '[' ? ']' : '}');
    } else if (c == ']' || c == '}') {
      if (closers.empty() || closers.back() != c) return std::nullopt;
      closers.pop_back();
    } else if (closers.empty()) {
      return std::nullopt;
    } else if (c == ',' && closers.size() == 1) {
      if (!end_part(i)) return std::nullopt;
      if (parts.size() > most) return parts;
    }
    ++i;
    if (!closers.empty()) continue;
    // The outermost bracket has closed: this must be the end. "[]" has no parts.
    if (i != text.size()) return std::nullopt;
    const bool has_last = !parts.empty() || !trim_blanks(text.substr(1, text.size() - 2)).empty();
    if (has_last && !end_part(i - 1)) return std::nullopt;
    return parts;
  }
  return std::nullopt;
}

bool blank_long_numbers(std::string& json) {
  // Shorter ones fit, unless they have an exponent.
  constexpr std::size_t kAlwaysFits = 18;
  bool found = false;
  for (std::size_t i = 0; i < json.size();) {
    if (json[i] == '"') {
      i = std::min(skip_string(json, i), json.size());
    } else if (json[i] == '-' || is_digit(json[i])) {
      const auto end = std::min(json.find_first_not_of("0123456789+-.eE", i), json.size());
      const auto token = std::string_view(json).substr(i, end - i);
      const bool may_be_long =
          token.size() > kAlwaysFits || token.find_first_of("eE") != std::string_view::npos;
      if (may_be_long && is_number(token)) {
        json[i] = '0';
        std::fill(json.begin() + static_cast<std::ptrdiff_t>(i) + 1,
                  json.begin() + static_cast<std::ptrdiff_t>(end), ' ');
        found = true;
      }
      i = end;
    } else {
      ++i;
    }
  }
  return found;
}

}  // namespace log_aggregator::collector
