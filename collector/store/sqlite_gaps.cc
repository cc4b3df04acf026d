#include "collector/store/sqlite_gaps.h"

#include <limits>
#include <optional>
#include <string>
#include <utility>

namespace log_aggregator::collector {

namespace {

// Of each kind, for one journal; and when a page ends early.
constexpr std::size_t kMaxRanges = 1'000;
constexpr std::size_t kMaxPageRanges = 50'000;

// The intervals of one journal after the other.
class IntervalRows {
 public:
  static Result<IntervalRows> prepare(Database& database, const std::string& table) {
    auto statement =
        database.prepare("SELECT first, last FROM " + table + " WHERE journal = ? ORDER BY first");
    if (!statement.ok()) return statement.status();
    IntervalRows rows;
    rows.statement_ = std::move(statement).value();
    return rows;
  }

  void start(std::int64_t journal) {
    statement_.reset();
    statement_.bind(1, journal);
  }

  std::optional<SequenceRange> next() {
    const Statement::Step step = statement_.step();
    if (step == Statement::Step::row) {
      return SequenceRange{static_cast<std::uint64_t>(statement_.integer(0)),
                           static_cast<std::uint64_t>(statement_.integer(1))};
    }
    failed_ = failed_ || step == Statement::Step::error;
    statement_.reset();
    return std::nullopt;
  }

  bool failed() const { return failed_; }

 private:
  Statement statement_;
  bool failed_ = false;
};

std::string journals_sql(const GapsQuery& query) {
  std::string sql = "SELECT id, uuid, host, seen_us FROM journal WHERE id < ?1";
  if (query.journal) {
    sql += " AND uuid = ?2";
  } else if (!query.all) {
    // Passes by those of which everything is stored, most of them, without reading their intervals:
    // these have one alone, which begins at 0 or 1.
    sql +=
        " AND (EXISTS (SELECT 1 FROM stored_interval WHERE journal = id AND first > 1)"
        " OR EXISTS (SELECT 1 FROM skipped_interval WHERE journal = id))";
  }
  return sql + " ORDER BY id DESC";
}

}  // namespace

Result<GapsPage> read_gaps(Database& database, const GapsQuery& query) {
  // As long as this statement is not at its end, all others read the same state.
  auto journals = database.prepare(journals_sql(query));
  if (!journals.ok()) return journals.status();
  auto stored = IntervalRows::prepare(database, "stored_interval");
  if (!stored.ok()) return stored.status();
  auto skipped = IntervalRows::prepare(database, "skipped_interval");
  if (!skipped.ok()) return skipped.status();
  journals->bind(1, query.before.value_or(std::numeric_limits<std::int64_t>::max()));
  if (query.journal) journals->bind(2, std::string_view(*query.journal));

  GapsPage page;
  std::size_t ranges = 0;
  std::int64_t last_id = 0;  // of the last on the page
  while (true) {
    const Statement::Step step = journals->step();
    if (step == Statement::Step::error) return database.error();
    if (step == Statement::Step::done) return page;
    const std::int64_t id = journals->integer(0);
    stored->start(id);
    skipped->start(id);
    Gaps gaps =
        find_gaps([&] { return stored->next(); }, [&] { return skipped->next(); }, kMaxRanges);
    if (stored->failed() || skipped->failed()) return database.error();
    if (!gaps.any() && !query.all && !query.journal) continue;
    if (page.journals.size() == query.limit || ranges >= kMaxPageRanges) {
      page.next = last_id;
      return page;
    }
    ranges += gaps.missing.size() + gaps.skipped.size();
    last_id = id;
    page.journals.push_back({std::string(journals->text(1)), std::string(journals->text(2)),
                             journals->integer(3), std::move(gaps)});
  }
}

}  // namespace log_aggregator::collector
