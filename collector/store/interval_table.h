// IntervalTable: a set of sequence numbers for each journal, as the rows (journal, first, last) of
// one table. Intervals of one journal neither overlap nor touch.
//
// A range of a set is loaded, changed in memory, and saved, all in the caller's transaction, so
// that the cost goes with the range and not with the set. For the thread of its Database. False
// means failed: Database::error() says why.

#pragma once

#include <cstdint>
#include <string>

#include "collector/store/sqlite.h"
#include "log_aggregator/status.h"
#include "src/base/sequence_ranges.h"

namespace log_aggregator::collector {

class IntervalTable {
 public:
  // `table` is a name of ours, never a client's.
  static Result<IntervalTable> prepare(Database& database, const std::string& table);

  // What the journal has in `range` and, since what touches is to become one interval, next to it.
  bool load(std::int64_t journal, SequenceRange range, SequenceRanges& set);
  // Replaces what load() found for the same range by what it has become.
  bool save(std::int64_t journal, SequenceRange range, const SequenceRanges& set);
  // Loads, adds and saves; writes nothing where all of it is there.
  bool add(std::int64_t journal, SequenceRange interval);

 private:
  Statement find_;
  Statement remove_;
  Statement insert_;
};

}  // namespace log_aggregator::collector
