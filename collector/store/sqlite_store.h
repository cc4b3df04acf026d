// SqliteStore keeps records in one SQLite file in WAL mode, with synchronous=FULL: a commit is on
// the disk before it is answered. NORMAL would be faster and lose the last commits when the power
// goes.
//
// One writer thread takes everything that is queued into one transaction (group commit), so that
// many senders share the price of a sync. Queries run on the caller's thread, each on a connection
// of its own out of a small pool; they never wait for the writer. A full queue or a failed
// transaction refuses the batches concerned with `unavailable`; nothing of them is stored.

#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "collector/store/interval_table.h"
#include "collector/store/sqlite.h"
#include "collector/store/store.h"
#include "collector/store/text_index.h"
#include "src/base/mutex.h"

namespace log_aggregator::collector {

struct SqliteStoreOptions {
  // Whether words are indexed. Where that changes, open() makes or removes the index, which takes
  // half a minute for a million records.
  bool full_text = true;
  // Batches that would make more than this wait for the writer are refused: a sender tries again, a
  // collector without memory dies.
  std::size_t max_queued_bytes = 256 << 20;
  // A query that no index helps must not hold a thread for ever.
  std::chrono::milliseconds query_timeout{10'000};
};

class SqliteStore : public Store {
 public:
  // Opens the file or creates it, readable by its owner only. Fails where it cannot be written, is
  // not a database of ours or comes from a later version; one of an earlier version is brought up
  // to date.
  static Result<std::unique_ptr<SqliteStore>> open(std::string path,
                                                   SqliteStoreOptions options = {});

  // Writes what is queued, then closes.
  ~SqliteStore() override;
  SqliteStore(const SqliteStore&) = delete;
  SqliteStore& operator=(const SqliteStore&) = delete;

  void append(Batch batch, Done done) override;
  void listen(Listener listener) override EXCLUDES(listener_mutex_);
  Result<std::int64_t> last_id() override;
  Result<std::optional<StoredRecord>> find(std::int64_t id) override;
  Result<std::vector<StoredRecord>> read_after(std::int64_t id, std::size_t most_bytes) override;
  Result<Page> query(const Query& query) override;
  Result<std::vector<HistogramCount>> histogram(const HistogramQuery& query) override;
  Result<GapsPage> gaps(const GapsQuery& query) override;
  std::uint64_t size_bytes() const override;

 private:
  struct Pending {
    Batch batch;
    std::size_t bytes = 0;
    Done done;
    Appended result;
  };

  // The writer's connection and its statements; used by the writer thread only.
  struct Writer {
    Database database;
    Statement insert_record;
    Statement insert_journal;
    Statement find_journal;
    Statement update_journal;
    IntervalTable stored;
    IntervalTable skipped;
    std::optional<TextIndex> text;
    std::int64_t last_id = 0;  // that was inserted since it was opened
  };

  SqliteStore(std::string path, SqliteStoreOptions options, Writer writer);
  static Result<Writer> open_writer(const std::string& path, bool full_text);

  void write_until_closed();
  void tell_listener() EXCLUDES(listener_mutex_);
  std::deque<Pending> take_queued() EXCLUDES(mutex_);
  Status write_group(std::deque<Pending>& group);
  bool write_batch(Pending& pending);
  bool write_record(const Record& record, std::int64_t journal);
  bool write_numbered(const std::vector<Record>& records, std::int64_t journal, Appended& result);
  bool write_skipped(const std::vector<SequenceRange>& skipped, std::int64_t journal);
  std::int64_t journal_id(const std::string& uuid);
  bool update_journal(const Batch& batch, std::int64_t journal);

  template <typename Read>
  auto read(const Read& read) -> decltype(read(std::declval<Database&>()));
  Result<Database> borrow_reader() EXCLUDES(mutex_);
  void return_reader(Database database) EXCLUDES(mutex_);

  const std::string path_;
  const SqliteStoreOptions options_;
  Writer writer_;

  Mutex listener_mutex_;  // held while it is called
  Listener listener_ GUARDED_BY(listener_mutex_);

  Mutex mutex_;
  CondVar work_;
  std::deque<Pending> queue_ GUARDED_BY(mutex_);
  std::size_t queued_bytes_ GUARDED_BY(mutex_) = 0;
  bool closing_ GUARDED_BY(mutex_) = false;
  std::vector<Database> readers_ GUARDED_BY(mutex_);

  std::thread thread_;
};

}  // namespace log_aggregator::collector
