#include "collector/store/interval_table.h"

#include <algorithm>
#include <utility>

namespace log_aggregator::collector {

namespace {

// With its neighbours. kMaxSequence leaves room for the one above.
SequenceRange widened(SequenceRange range) {
  return {range.first == 0 ? 0 : range.first - 1, range.last + 1};
}

}  // namespace

Result<IntervalTable> IntervalTable::prepare(Database& database, const std::string& table) {
  IntervalTable made;
  const std::pair<Statement*, std::string> statements[] = {
      // The last interval that begins at or before the range, and all that begin in it.
      {&made.find_, "SELECT first, last FROM " + table +
                        " WHERE journal = ?1 AND first <= ?3 AND first >= coalesce("
                        "(SELECT max(first) FROM " +
                        table + " WHERE journal = ?1 AND first <= ?2), ?2)"},
      {&made.remove_, "DELETE FROM " + table + " WHERE journal = ? AND first BETWEEN ? AND ?"},
      {&made.insert_, "INSERT INTO " + table + " VALUES (?, ?, ?)"},
  };
  for (const auto& [statement, sql] : statements) {
    auto prepared = database.prepare(sql);
    if (!prepared.ok()) return prepared.status();
    *statement = std::move(prepared).value();
  }
  return made;
}

bool IntervalTable::load(std::int64_t journal, SequenceRange range, SequenceRanges& set) {
  const SequenceRange wide = widened(range);
  find_.bind(1, journal);
  find_.bind(2, static_cast<std::int64_t>(wide.first));
  find_.bind(3, static_cast<std::int64_t>(wide.last));
  Statement::Step step = find_.step();
  for (; step == Statement::Step::row; step = find_.step()) {
    set.add({static_cast<std::uint64_t>(find_.integer(0)),
             static_cast<std::uint64_t>(find_.integer(1))});
  }
  find_.reset();
  return step == Statement::Step::done;
}

bool IntervalTable::save(std::int64_t journal, SequenceRange range, const SequenceRanges& set) {
  const SequenceRange wide = widened(range);
  const auto first = std::min(wide.first, set.ranges().front().first);
  remove_.bind(1, journal);
  remove_.bind(2, static_cast<std::int64_t>(first));
  remove_.bind(3, static_cast<std::int64_t>(wide.last));
  if (!remove_.run()) return false;
  for (const SequenceRange& interval : set.ranges()) {
    insert_.bind(1, journal);
    insert_.bind(2, static_cast<std::int64_t>(interval.first));
    insert_.bind(3, static_cast<std::int64_t>(interval.last));
    if (!insert_.run()) return false;
  }
  return true;
}

bool IntervalTable::add(std::int64_t journal, SequenceRange interval) {
  SequenceRanges set;
  if (!load(journal, interval, set)) return false;
  const auto before = set.ranges();
  set.add(interval);
  return set.ranges() == before || save(journal, interval, set);
}

}  // namespace log_aggregator::collector
