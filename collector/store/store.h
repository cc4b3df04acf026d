// Store: where the collector keeps records. The HTTP side knows stores by this interface only.
//
// Every method may be called from any thread. append() never waits for the disk: it queues, and
// says through a callback when the batch is safe. query() and gaps() may take as long as the disk
// does; call them where that is allowed. A store that fails (disk full, file gone) answers with a
// Status; it stays usable, and the next call may succeed.

#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "collector/store/gaps.h"
#include "log_aggregator/status.h"
#include "src/base/sequence_ranges.h"

namespace log_aggregator::collector {

struct Record {
  // The whole record as it will be answered: one JSON object, valid, without a field "id".
  std::string json;
  // What queries select by, taken out of it. Empty where the record has none.
  std::int64_t time_us = 0;  // since 1970, UTC
  std::string level;
  std::string logger;
  std::string host;
  // Its number in the sender's journal, where the sender keeps one.
  std::optional<std::uint64_t> sequence;
};

// The records of one request, in order; there may be none where it says what was given up.
struct Batch {
  std::vector<Record> records;
  // The uuid of the sender's journal; empty: none, and then no record has a sequence.
  std::string journal;
  // Numbers of the journal that its sender will never send, ascending; they may have been said
  // before. One that is stored all the same counts as stored.
  std::vector<SequenceRange> skipped;
  std::int64_t received_us = 0;  // since 1970, UTC
};

struct Appended {
  Status status;               // not ok: nothing of the batch was stored
  std::size_t stored = 0;      // durable when this is answered
  std::size_t duplicates = 0;  // were stored by an earlier batch of the same journal
};

// Everything given must match. Of `levels` one must; none means any.
struct Query {
  std::optional<std::int64_t> from_us;  // inclusive
  std::optional<std::int64_t> to_us;    // exclusive
  std::vector<std::string> levels;
  std::optional<std::string> logger;
  std::optional<std::string> host;
  std::size_t limit = 100;
  std::optional<std::int64_t> before;  // Page::next of the page before
};

struct StoredRecord {
  std::int64_t id = 0;
  std::string json;
};

struct Page {
  // In reverse order of arrival: the newest first. May hold fewer than the limit, where records
  // are large, though there are more.
  std::vector<StoredRecord> records;
  std::optional<std::int64_t> next;  // Query::before of the next page; none: this was the last
};

struct GapsQuery {
  std::optional<std::string> journal;  // only this one, whether it has gaps or not
  bool all = false;                    // those without gaps, too
  std::size_t limit = 100;
  std::optional<std::int64_t> before;  // GapsPage::next of the page before
};

struct JournalGaps {
  std::string journal;
  std::string host;          // of its newest record; empty: not known
  std::int64_t seen_us = 0;  // when it was last heard of; 0: not known
  Gaps gaps;
};

struct GapsPage {
  // The journal that was first heard of last comes first. May hold fewer than the limit, where
  // there are many ranges, though there are more.
  std::vector<JournalGaps> journals;
  std::optional<std::int64_t> next;  // GapsQuery::before of the next page; none: this was the last
};

class Store {
 public:
  using Done = std::function<void(Appended)>;

  virtual ~Store() = default;

  // Calls `done` exactly once, on a thread of the store or at once on the caller's: with an ok
  // status only after the records and the journal's intervals, stored and skipped, are durable, in
  // one transaction. `done` must be quick and must not call the store.
  virtual void append(Batch batch, Done done) = 0;

  virtual Result<Page> query(const Query& query) = 0;
  virtual Result<GapsPage> gaps(const GapsQuery& query) = 0;
};

}  // namespace log_aggregator::collector
