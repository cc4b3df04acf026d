#include "collector/search/filter.h"

#include <algorithm>
#include <optional>

#include "collector/search/severity.h"
#include "collector/search/words.h"
#include "src/base/text.h"

namespace log_aggregator::collector {

namespace {

constexpr std::size_t kMaxQueryBytes = 4096;
constexpr std::size_t kMaxTerms = 100;

bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

// Of names of fields; what is not ASCII may be a letter.
bool is_name_part(char c) {
  return is_letter(c) || (c >= '0' && c <= '9') || c == '.' || c == '-' || (c & 0x80) != 0;
}

bool is_operator(std::string_view word) { return word == "AND" || word == "OR" || word == "NOT"; }

// The places of a text in bytes, from 0.
struct Span {
  std::size_t begin = 0;
  std::size_t end = 0;
};

struct Wrong {
  Span where;
  std::string reason;
};

// What stands after a name, or alone.
struct Value {
  std::string text;
  bool quoted = false;
  bool prefix = false;  // followed by "*"
  Span where;
};

class Parser {
 public:
  explicit Parser(std::string_view query) : query_(query) {}

  std::optional<Wrong> parse(Filter& filter);

 private:
  std::optional<Wrong> parse_term(Filter& filter);
  std::optional<Wrong> parse_value(Value& value);
  std::optional<Wrong> parse_quoted(Value& value);
  std::string_view take_name();
  std::string_view take_comparison();
  std::optional<Wrong> make_term(std::string_view name, std::string_view comparison, Value value,
                                 Span where, Term& term);

  bool at_end() const { return position_ == query_.size(); }
  std::string_view rest() const { return query_.substr(position_); }
  void skip_blanks() {
    while (!at_end() && is_blank(query_[position_])) ++position_;
  }

  const std::string_view query_;
  std::size_t position_ = 0;
};

std::optional<Wrong> Parser::parse(Filter& filter) {
  for (skip_blanks(); !at_end(); skip_blanks()) {
    if (filter.size() == kMaxTerms) {
      return Wrong{{position_, query_.size()},
                   "there are more than " + std::to_string(kMaxTerms) + " terms"};
    }
    if (auto wrong = parse_term(filter)) return wrong;
  }
  return std::nullopt;
}

std::optional<Wrong> Parser::parse_term(Filter& filter) {
  const std::size_t begin = position_;
  Term term;
  term.negated = query_[position_] == '-';
  if (term.negated) ++position_;
  const std::string_view name = take_name();
  const std::string_view comparison = name.empty() ? std::string_view() : take_comparison();
  Value value;
  if (auto wrong = parse_value(value)) return wrong;
  if (auto wrong = make_term(name, comparison, std::move(value), {begin, position_}, term)) {
    return wrong;
  }
  filter.push_back(std::move(term));
  return std::nullopt;
}

// The name before a comparison; empty, and nothing taken, where a word or a phrase stands here.
std::string_view Parser::take_name() {
  const std::string_view text = rest();
  if (text.empty() || !(is_letter(text[0]) || (text[0] & 0x80) != 0)) return {};
  std::size_t end = 0;
  while (end < text.size() && is_name_part(text[end])) ++end;
  const std::string_view after = text.substr(end);
  // An address such as http://... and a C++ name such as std::... are words.
  if (after.starts_with("://") || after.starts_with("::")) return {};
  if (after.empty() || std::string_view(":=<>").find(after[0]) == std::string_view::npos) return {};
  position_ += end;
  return text.substr(0, end);
}

std::string_view Parser::take_comparison() {
  for (const std::string_view comparison : {">=", "<=", ":", "=", ">", "<"}) {
    if (!rest().starts_with(comparison)) continue;
    position_ += comparison.size();
    return comparison;
  }
  return {};
}

std::optional<Wrong> Parser::parse_value(Value& value) {
  value.where.begin = position_;
  if (rest().starts_with('"')) {
    if (auto wrong = parse_quoted(value)) return wrong;
    value.prefix = rest().starts_with('*');
    if (value.prefix) ++position_;
    if (!at_end() && !is_blank(query_[position_])) {
      return Wrong{{position_, position_ + 1}, "a blank is missing after the quote"};
    }
  } else {
    while (!at_end() && !is_blank(query_[position_])) value.text += query_[position_++];
    value.prefix = value.text.ends_with('*');
    if (value.prefix) value.text.pop_back();
  }
  value.where.end = position_;
  return std::nullopt;
}

std::optional<Wrong> Parser::parse_quoted(Value& value) {
  const std::size_t quote = position_++;
  value.quoted = true;
  while (!at_end() && query_[position_] != '"') {
    if (query_[position_] == '\\' && position_ + 1 < query_.size()) ++position_;
    value.text += query_[position_++];
  }
  if (at_end()) return Wrong{{quote, quote + 1}, "the quote is not closed"};
  ++position_;
  return std::nullopt;
}

std::optional<Wrong> make_text(TextTerm::In in, const Value& value, Span where, Term& term) {
  Words words;
  words.split(value.text);
  if (words.empty()) return Wrong{where, "there is no letter or digit to search for"};
  TextTerm text{in, {}, value.prefix};
  for (std::size_t i = 0; i < words.size(); ++i) text.words.emplace_back(words[i]);
  term.what = std::move(text);
  return std::nullopt;
}

LevelTerm::Comparison level_comparison(std::string_view text) {
  using Comparison = LevelTerm::Comparison;
  if (text == ">=") return Comparison::greater_or_equal;
  if (text == "<=") return Comparison::less_or_equal;
  if (text == ">") return Comparison::greater;
  if (text == "<") return Comparison::less;
  return Comparison::equal;
}

std::optional<Wrong> make_level(std::string_view comparison, const Value& value, Term& term) {
  LevelTerm level;
  level.comparison = level_comparison(comparison);
  level.name = value.text;
  if (value.prefix) return Wrong{value.where, "a level is named in full"};
  if (level.comparison != LevelTerm::Comparison::equal) {
    const auto severity = severity_of(level.name);
    if (!severity) {
      return Wrong{value.where,
                   "this is no level to compare with: TRACE, DEBUG, INFO, WARNING, ERROR, "
                   "CRITICAL or a number"};
    }
    level.severity = *severity;
  }
  term.what = std::move(level);
  return std::nullopt;
}

std::optional<Wrong> Parser::make_term(std::string_view name, std::string_view comparison,
                                       Value value, Span where, Term& term) {
  if (name.empty()) {
    if (!value.quoted && !value.prefix && is_operator(value.text)) {
      return Wrong{value.where,
                   value.text +
                       " is not part of the language: all terms must match, "
                       "and - before one excludes it. Put the word in quotes to search "
                       "for it"};
    }
    return make_text(TextTerm::In::any, value, where, term);
  }
  if (value.text.empty() && !value.quoted && !value.prefix) {
    return Wrong{where, "the value is missing (\"\" is an empty one)"};
  }
  if (name == "level") return make_level(comparison, value, term);
  if (comparison != ":" && comparison != "=") {
    return Wrong{where, "only level can be compared by " + std::string(comparison)};
  }
  if (name == "message") return make_text(TextTerm::In::message, value, where, term);
  if (name == "exception") return make_text(TextTerm::In::exception, value, where, term);
  if (name == "logger" || name == "logger_name") {
    term.what = NameTerm{NameTerm::Of::logger, std::move(value.text), value.prefix};
  } else if (name == "host") {
    term.what = NameTerm{NameTerm::Of::host, std::move(value.text), value.prefix};
  } else {
    term.what = FieldTerm{std::string(name), std::move(value.text), value.prefix};
  }
  return std::nullopt;
}

std::size_t count_characters(std::string_view utf8) {
  return static_cast<std::size_t>(
      std::count_if(utf8.begin(), utf8.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

}  // namespace

std::variant<Filter, FilterError> parse_filter(std::string_view query) {
  if (query.size() > kMaxQueryBytes) {
    return FilterError{0, count_characters(query),
                       "longer than " + std::to_string(kMaxQueryBytes) + " bytes"};
  }
  Filter filter;
  if (auto wrong = Parser(query).parse(filter)) {
    const auto [begin, end] = wrong->where;
    return FilterError{count_characters(query.substr(0, begin)),
                       count_characters(query.substr(begin, end - begin)),
                       std::move(wrong->reason)};
  }
  return filter;
}

bool matches(const LevelTerm& term, std::string_view level) {
  if (term.comparison == LevelTerm::Comparison::equal) return equal_ignoring_case(term.name, level);
  const auto severity = severity_of(level);
  if (!severity) return false;
  switch (term.comparison) {
    case LevelTerm::Comparison::less:
      return *severity < term.severity;
    case LevelTerm::Comparison::less_or_equal:
      return *severity <= term.severity;
    case LevelTerm::Comparison::greater:
      return *severity > term.severity;
    default:
      return *severity >= term.severity;
  }
}

}  // namespace log_aggregator::collector
