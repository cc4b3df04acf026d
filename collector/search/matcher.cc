#include "collector/search/matcher.h"

#include <algorithm>

namespace log_aggregator::collector {

namespace {

bool matches_value(std::string_view found, std::string_view wanted, bool prefix) {
  return prefix ? found.starts_with(wanted) : found == wanted;
}

// Whether the term's words stand beside each other from `begin` on.
bool stand_at(const Words& text, std::size_t begin, const TextTerm& term) {
  const std::size_t last = term.words.size() - 1;
  for (std::size_t i = 0; i <= last; ++i) {
    const bool prefix = term.prefix && i == last;
    if (!matches_value(text[begin + i], term.words[i], prefix)) return false;
  }
  return true;
}

bool contains(const Words& text, const TextTerm& term) {
  for (std::size_t begin = 0; begin + term.words.size() <= text.size(); ++begin) {
    if (stand_at(text, begin, term)) return true;
  }
  return false;
}

}  // namespace

void Matcher::look_at(std::string_view json) {
  json_ = json;
  is_read_ = message_.split = logger_.split = exception_.split = false;
}

const RecordView& Matcher::record() {
  if (!is_read_) view_.read(json_);
  is_read_ = true;
  return view_;
}

const Words& Matcher::words(Column& column, std::string_view text) {
  if (!column.split) column.words.split(text);
  column.split = true;
  return column.words;
}

bool Matcher::matches(const Selection& selection) {
  const auto& [levels, logger, host, filter] = selection;
  if (!levels.empty() &&
      std::find(levels.begin(), levels.end(), record().level()) == levels.end()) {
    return false;
  }
  if (logger && *logger != record().logger()) return false;
  if (host && *host != record().host()) return false;
  return matches(filter);
}

bool Matcher::matches(const Filter& filter) {
  return std::all_of(filter.begin(), filter.end(),
                     [this](const Term& term) { return matches(term); });
}

bool Matcher::matches(const Term& term) {
  const bool found = std::visit(
      [this](const auto& what) {
        if constexpr (std::is_same_v<std::decay_t<decltype(what)>, LevelTerm>) {
          return collector::matches(what, record().level());
        } else {
          return matches(what);
        }
      },
      term.what);
  return found != term.negated;
}

bool Matcher::matches(const TextTerm& term) {
  using In = TextTerm::In;
  const bool any = term.in == In::any;
  return ((any || term.in == In::message) && contains(words(message_, record().message()), term)) ||
         (any && contains(words(logger_, record().logger()), term)) ||
         ((any || term.in == In::exception) &&
          contains(words(exception_, record().exception()), term));
}

bool Matcher::matches(const NameTerm& term) {
  const bool is_logger = term.of == NameTerm::Of::logger;
  return matches_value(is_logger ? record().logger() : record().host(), term.value, term.prefix);
}

bool Matcher::matches(const FieldTerm& term) {
  const auto& fields = record().fields();
  return std::any_of(fields.begin(), fields.end(), [&](const RecordField& field) {
    return field.has_value && matches_value(field.value, term.value, term.prefix) &&
           record().is_at(field, term.path);
  });
}

}  // namespace log_aggregator::collector
