// Store: where the collector keeps records. The HTTP side knows stores by this interface only.
//
// Every method may be called from any thread. append() never waits for the disk: it queues, and
// says through a callback when the batch is safe. What reads may take as long as the disk does;
// call it where that is allowed. A store that fails (disk full, file gone) answers with a
// Status; it stays usable, and the next call may succeed.

#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "collector/search/filter.h"
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

// Everything given must match.
struct Query : Selection {
  std::optional<std::int64_t> from_us;  // inclusive
  std::optional<std::int64_t> to_us;    // exclusive
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

struct HistogramQuery : Selection {
  std::int64_t from_us = 0;  // inclusive
  std::int64_t to_us = 0;    // exclusive
  std::int64_t step_us = 1;  // buckets begin at multiples of it
};

struct HistogramCount {
  std::int64_t time_us = 0;  // where the bucket begins
  std::string level;
  std::int64_t count = 0;
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

  // Told, after each commit, the highest id that is stored. Called on a thread of the store, which
  // it must not hold up. There is one listener; nullptr takes it away, and once that has returned
  // it is not called any more.
  using Listener = std::function<void(std::int64_t last_id)>;
  virtual void listen(Listener listener) = 0;

  // The highest id so far; 0 where nothing was ever stored.
  virtual Result<std::int64_t> last_id() = 0;
  virtual Result<std::optional<StoredRecord>> find(std::int64_t id) = 0;
  // The records after this id in order, at least one where there is any, and not many more bytes
  // than `most_bytes` of them.
  virtual Result<std::vector<StoredRecord>> read_after(std::int64_t id, std::size_t most_bytes) = 0;

  virtual Result<Page> query(const Query& query) = 0;
  // By time and level; buckets without records are left out.
  virtual Result<std::vector<HistogramCount>> histogram(const HistogramQuery& query) = 0;
  virtual Result<GapsPage> gaps(const GapsQuery& query) = 0;

  // Of all its files, as they are now. Never waits.
  virtual std::uint64_t size_bytes() const = 0;
};

}  // namespace log_aggregator::collector
