// Filter: which records somebody wants to see, as a query (docs/search.md) says it. The store turns
// it into SQL, the Matcher asks it of one record at a time; both find the same.

#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace log_aggregator::collector {

// These words beside each other in one of the fields.
struct TextTerm {
  enum class In { any, message, exception };
  In in = In::any;
  std::vector<std::string> words;  // as Words makes them; at least one
  bool prefix = false;             // the last word may go on

  bool operator==(const TextTerm&) const = default;
};

struct LevelTerm {
  enum class Comparison { equal, less, less_or_equal, greater, greater_or_equal };
  Comparison comparison = Comparison::equal;
  std::string name;  // compared without case where `comparison` is equal
  int severity = 0;  // else: with what to compare

  bool operator==(const LevelTerm&) const = default;
};

// The logger's or the host's name.
struct NameTerm {
  enum class Of { logger, host };
  Of of = Of::logger;
  std::string value;
  bool prefix = false;

  bool operator==(const NameTerm&) const = default;
};

// Any other member of the record.
struct FieldTerm {
  std::string path;  // names of members, joined by dots
  std::string value;
  bool prefix = false;

  bool operator==(const FieldTerm&) const = default;
};

struct Term {
  std::variant<TextTerm, LevelTerm, NameTerm, FieldTerm> what;
  bool negated = false;

  bool operator==(const Term&) const = default;
};

// All of the terms must match; none match everything.
using Filter = std::vector<Term>;

// What a request selects records by, besides time. Everything given must match.
struct Selection {
  std::vector<std::string> levels;  // one of them, exactly; none means any
  std::optional<std::string> logger;
  std::optional<std::string> host;
  Filter filter;
};

// Of the level's name of a record, whether the term, without its negation, matches.
bool matches(const LevelTerm& term, std::string_view level);

struct FilterError {
  std::size_t position = 0;  // of the first character concerned, in code points from 0
  std::size_t length = 0;    // in code points
  std::string reason;        // "the quote is not closed"
};

std::variant<Filter, FilterError> parse_filter(std::string_view query);

}  // namespace log_aggregator::collector
