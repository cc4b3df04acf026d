#include "collector/store/sqlite_query.h"

#include <algorithm>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <variant>

#include "collector/search/matcher.h"
#include "collector/store/text_index.h"

namespace log_aggregator::collector {

namespace {

// A page ends early rather than hold more than this.
constexpr std::size_t kMaxPageBytes = 16 << 20;
constexpr int kWalkedRecords = 20'000;
// A store with more names of levels than this is not asked which of them are severe.
constexpr std::size_t kMaxLevelNames = 1'000;

// Conditions of a WHERE clause, joined by AND, and their values in order.
class Conditions {
 public:
  using Value = std::variant<std::int64_t, std::string>;

  void add(const std::string& condition, std::vector<Value> values) {
    sql_ += " AND " + condition;
    values_.insert(values_.end(), std::make_move_iterator(values.begin()),
                   std::make_move_iterator(values.end()));
  }
  void add_one_of(const std::string& column, const std::vector<std::string>& values) {
    std::string condition = column + " IN (";
    for (std::size_t i = 0; i < values.size(); ++i) condition += i == 0 ? "?" : ",?";
    add(condition + ")", {values.begin(), values.end()});
  }

  // Each begins with " AND ".
  const std::string& sql() const { return sql_; }
  bool empty() const { return sql_.empty(); }
  // From `parameter` on; what comes after the last.
  int bind(Statement& statement, int parameter) const {
    for (const Value& value : values_) {
      if (const auto* number = std::get_if<std::int64_t>(&value)) {
        statement.bind(parameter++, *number);
      } else {
        statement.bind(parameter++, std::string_view(std::get<std::string>(value)));
      }
    }
    return parameter;
  }

 private:
  std::string sql_;
  std::vector<Value> values_;
};

// A selection as far as SQL answers it.
struct Plan {
  std::string match;  // for the full-text index; empty: not by it
  Conditions where;
  bool exact = true;           // else a Matcher is to be asked, too
  bool has_one_value = false;  // an index leads to the newest records of one value
  std::string index;           // that the ids are best taken from; empty: SQLite knows
};

// The names of levels in the store, by stepping from one to the next in their index.
Result<std::vector<std::string>> level_names(Database& database) {
  auto next = database.prepare("SELECT min(level) FROM record WHERE level > ?");
  if (!next.ok()) return next.status();
  // Records without a level have the empty one, which is greater than none.
  std::vector<std::string> names{""};
  while (names.size() <= kMaxLevelNames) {
    next->bind(1, std::string_view(names.back()));
    if (next->step() != Statement::Step::row) return database.error();
    std::string name(next->text(0));
    next->reset();
    if (name.empty()) break;  // there is none
    names.push_back(std::move(name));
  }
  return names;
}

// False where a Matcher has to be asked instead.
Result<bool> add_level(Database& database, const LevelTerm& term, bool negated, Plan& plan) {
  auto names = level_names(database);
  if (!names.ok()) return names.status();
  if (names->size() > kMaxLevelNames) return false;
  std::vector<std::string> chosen;
  for (std::string& name : *names) {
    if (matches(term, name) != negated) chosen.push_back(std::move(name));
  }
  plan.where.add_one_of("level", chosen);
  plan.index = "record_level";
  return true;
}

// The least text that is greater than all that begin with `prefix`; empty: there is none.
std::string end_of_prefix(std::string prefix) {
  while (!prefix.empty() && prefix.back() == '\xff') prefix.pop_back();
  if (!prefix.empty()) ++prefix.back();
  return prefix;
}

void add_name(const NameTerm& term, bool negated, Plan& plan) {
  const std::string column = term.of == NameTerm::Of::logger ? "logger" : "host";
  const std::string begin = negated ? "NOT (" : "(";
  if (!term.prefix) {
    plan.where.add(begin + column + " = ?)", {term.value});
    plan.has_one_value |= !negated;
    return;
  }
  std::string end = end_of_prefix(term.value);
  if (end.empty()) {
    plan.where.add(begin + column + " >= ?)", {term.value});
  } else {
    plan.where.add(begin + column + " >= ? AND " + column + " < ?)", {term.value, std::move(end)});
  }
}

Status add_filter(Database& database, const Filter& filter, Plan& plan) {
  const auto indexed = has_text_index(database);
  if (!indexed.ok()) return indexed.status();
  TextMatch text = match_expression(filter);
  if (indexed.value()) plan.match = std::move(text.expression);
  for (std::size_t i = 0; i < filter.size(); ++i) {
    const auto& [what, negated] = filter[i];
    bool exact = indexed.value() && text.exact[i];
    if (const auto* level = std::get_if<LevelTerm>(&what)) {
      const auto added = add_level(database, *level, negated, plan);
      if (!added.ok()) return added.status();
      exact = added.value();
    } else if (const auto* name = std::get_if<NameTerm>(&what)) {
      add_name(*name, negated, plan);
      exact = true;
    }
    plan.exact = plan.exact && exact;
  }
  return {};
}

Result<Plan> make_plan(Database& database, const Selection& selection) {
  Plan plan;
  if (selection.logger) plan.where.add("logger = ?", {*selection.logger});
  if (selection.host) plan.where.add("host = ?", {*selection.host});
  if (!selection.levels.empty()) {
    plan.where.add_one_of("level", selection.levels);
    plan.index = "record_level";
  }
  plan.has_one_value = selection.logger || selection.host || selection.levels.size() == 1;
  if (Status added = add_filter(database, selection.filter, plan); !added.ok()) return added;
  return plan;
}

// ---- pages

// Where a page looks for its records.
enum class Way {
  text,    // the full-text index, from the newest record back
  newest,  // all records from the newest back, at most kWalkedRecords
  all,     // likewise, without an end
  ids,     // the ids by an index, sorted; then the records
};

std::string page_sql(const Plan& plan, Way way, bool limited) {
  const std::string& where = plan.where.sql();
  switch (way) {
    case Way::text:
      return "SELECT record.id, record.json FROM record_text AS text"
             " CROSS JOIN record ON record.id = text.rowid"
             " WHERE text.rowid < ? AND record_text MATCH ?" +
             where + " ORDER BY text.rowid DESC";
    case Way::newest:
      return "SELECT id, json FROM record NOT INDEXED WHERE id < ?1"
             " AND id >= min(?1, (SELECT max(id) + 1 FROM record)) - " +
             std::to_string(kWalkedRecords) + where + " ORDER BY id DESC";
    case Way::all:
      return "SELECT id, json FROM record NOT INDEXED WHERE id < ?" + where + " ORDER BY id DESC";
    case Way::ids:
      break;
  }
  // The ids first, so that sorting them does not carry the records along.
  const std::string from = "record" + (plan.index.empty() ? "" : " INDEXED BY " + plan.index);
  return "SELECT id, json FROM record WHERE id IN (SELECT id FROM " + from + " WHERE id < ?" +
         where + (limited ? " ORDER BY id DESC LIMIT ?" : "") + ") ORDER BY id DESC";
}

Result<Page> read_page(Database& database, const Query& query, const Plan& plan, Way way) {
  // One more than the limit is asked for, to know if there is a next page.
  const bool limited = way == Way::ids && plan.exact;
  auto statement = database.prepare(page_sql(plan, way, limited));
  if (!statement.ok()) return statement.status();
  int parameter = 1;
  statement->bind(parameter++, query.before.value_or(std::numeric_limits<std::int64_t>::max()));
  if (way == Way::text) statement->bind(parameter++, std::string_view(plan.match));
  parameter = plan.where.bind(*statement, parameter);
  if (limited) statement->bind(parameter, static_cast<std::int64_t>(query.limit + 1));

  Matcher matcher;
  Page page;
  std::size_t bytes = 0;
  while (true) {
    const Statement::Step step = statement->step();
    if (step == Statement::Step::error) return database.error();
    if (step == Statement::Step::done) return page;
    const std::string_view json = statement->text(1);
    matcher.look_at(json);
    if (!plan.exact && !matcher.matches(query.filter)) continue;
    const bool full = page.records.size() == query.limit || bytes + json.size() > kMaxPageBytes;
    if (full && !page.records.empty()) {
      page.next = page.records.back().id;
      return page;
    }
    bytes += json.size();
    page.records.push_back({statement->integer(0), std::string(json)});
  }
}

void add_time(const Query& query, Plan& plan) {
  if (query.from_us) plan.where.add("time_us >= ?", {*query.from_us});
  if (query.to_us) plan.where.add("time_us < ?", {*query.to_us});
  // Left to itself, SQLite would rather walk through all records than sort those of the time.
  if (query.from_us || query.to_us) plan.index = "record_time_level";
}

// ---- histograms

std::string histogram_sql(const Plan& plan) {
  const std::string columns = plan.exact ? "time_us, level" : "time_us, level, json";
  if (!plan.match.empty()) {
    return "SELECT " + columns +
           " FROM record_text AS text CROSS JOIN record ON record.id = text.rowid"
           " WHERE record_text MATCH ? AND time_us >= ? AND time_us < ?" +
           plan.where.sql();
  }
  const bool by_time = plan.exact && !plan.has_one_value;
  return "SELECT " + columns + " FROM record" + (by_time ? " INDEXED BY record_time_level" : "") +
         " WHERE time_us >= ? AND time_us < ?" + plan.where.sql();
}

// Counts by time and level. Most records come in the order of one or the other, so that the counter
// of the last one is right for the next; SQLite's GROUP BY would sort them all, and takes five
// times as long.
class Counters {
 public:
  explicit Counters(std::int64_t step_us) : step_us_(step_us) {}

  void add(std::int64_t time_us, std::string_view level) {
    const std::int64_t begin = floor_to(time_us, step_us_);
    if (last_ == nullptr || last_->time_us != begin || last_->level != level) {
      last_ = &counts_[{begin, std::string(level)}];
      last_->time_us = begin;
      last_->level = level;
    }
    ++last_->count;
  }
  std::vector<HistogramCount> counts() const {
    std::vector<HistogramCount> all;
    all.reserve(counts_.size());
    for (const auto& [key, count] : counts_) all.push_back(count);
    return all;
  }

 private:
  static std::int64_t floor_to(std::int64_t time_us, std::int64_t step_us) {
    const std::int64_t rest = time_us % step_us;
    return time_us - (rest < 0 ? rest + step_us : rest);
  }

  const std::int64_t step_us_;
  std::map<std::pair<std::int64_t, std::string>, HistogramCount> counts_;
  HistogramCount* last_ = nullptr;
};

}  // namespace

Result<Page> find_page(Database& database, const Query& query) {
  auto plan = make_plan(database, query);
  if (!plan.ok()) return plan.status();
  add_time(query, *plan);
  if (!plan->match.empty()) return read_page(database, query, *plan, Way::text);
  if (plan->exact && plan->where.empty()) return read_page(database, query, *plan, Way::all);
  if (plan->has_one_value) plan->index.clear();
  if (plan->exact && plan->has_one_value) return read_page(database, query, *plan, Way::ids);
  // What many records are, a page of the newest shows; what few are, an index finds.
  auto page = read_page(database, query, *plan, Way::newest);
  if (!page.ok() || page->next) return page;
  return read_page(database, query, *plan, plan->where.empty() ? Way::all : Way::ids);
}

Result<std::vector<HistogramCount>> count_by_time(Database& database, const HistogramQuery& query) {
  auto plan = make_plan(database, query);
  if (!plan.ok()) return plan.status();
  auto statement = database.prepare(histogram_sql(*plan));
  if (!statement.ok()) return statement.status();
  int parameter = 1;
  if (!plan->match.empty()) statement->bind(parameter++, std::string_view(plan->match));
  statement->bind(parameter++, query.from_us);
  statement->bind(parameter++, query.to_us);
  plan->where.bind(*statement, parameter);

  Counters counters(query.step_us);
  Matcher matcher;
  while (true) {
    const Statement::Step step = statement->step();
    if (step == Statement::Step::error) return database.error();
    if (step == Statement::Step::done) return counters.counts();
    if (!plan->exact) {
      matcher.look_at(statement->text(2));
      if (!matcher.matches(query.filter)) continue;
    }
    counters.add(statement->integer(0), statement->text(1));
  }
}

Result<std::optional<StoredRecord>> find_record(Database& database, std::int64_t id) {
  auto statement = database.prepare("SELECT json FROM record WHERE id = ?");
  if (!statement.ok()) return statement.status();
  statement->bind(1, id);
  switch (statement->step()) {
    case Statement::Step::row:
      return std::optional(StoredRecord{id, std::string(statement->text(0))});
    case Statement::Step::done:
      return std::optional<StoredRecord>();
    default:
      return database.error();
  }
}

Result<std::vector<StoredRecord>> read_records_after(Database& database, std::int64_t id,
                                                     std::size_t most_bytes) {
  auto statement = database.prepare("SELECT id, json FROM record WHERE id > ? ORDER BY id");
  if (!statement.ok()) return statement.status();
  statement->bind(1, id);
  std::vector<StoredRecord> records;
  for (std::size_t bytes = 0; bytes < most_bytes; bytes += records.back().json.size()) {
    const Statement::Step step = statement->step();
    if (step == Statement::Step::error) return database.error();
    if (step == Statement::Step::done) break;
    records.push_back({statement->integer(0), std::string(statement->text(1))});
  }
  return records;
}

}  // namespace log_aggregator::collector
