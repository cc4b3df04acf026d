#include "collector/store/sqlite_store.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "collector/store/schema.h"
#include "collector/store/sqlite_gaps.h"
#include "collector/store/sqlite_query.h"

namespace log_aggregator::collector {

namespace {

using std::chrono::steady_clock;

// What goes into one transaction, so that its requests do not wait for the whole queue.
constexpr std::size_t kMaxGroupBytes = 32 << 20;
constexpr std::size_t kKeptReaders = 8;

std::size_t size_of(const Batch& batch) {
  std::size_t bytes = batch.skipped.size() * sizeof(SequenceRange);
  for (const Record& record : batch.records) bytes += sizeof(Record) + record.json.size();
  return bytes;
}

// SQLite gives the WAL the mode of the database file.
Status create_private_file(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) return Status::unavailable(std::strerror(errno));
  ::close(file);
  return {};
}

int is_past(void* deadline) {
  return steady_clock::now() > *static_cast<const steady_clock::time_point*>(deadline) ? 1 : 0;
}

}  // namespace

Result<SqliteStore::Writer> SqliteStore::open_writer(const std::string& path, bool full_text) {
  if (Status created = create_private_file(path); !created.ok()) return created;
  auto database = Database::open(path, SQLITE_OPEN_READWRITE);
  if (!database.ok()) return database.status();
  Writer writer;
  writer.database = std::move(database).value();
  if (Status ready = writer.database.run("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
      !ready.ok()) {
    return ready;
  }
  if (Status ready = prepare_schema(writer.database); !ready.ok()) return ready;
  if (Status ready = prepare_text_index(writer.database, full_text); !ready.ok()) return ready;
  if (full_text) {
    auto text = TextIndex::prepare(writer.database);
    if (!text.ok()) return text.status();
    writer.text = std::move(text).value();
  }

  const std::pair<Statement*, std::string_view> statements[] = {
      {&writer.insert_record,
       "INSERT INTO record (time_us, level, logger, host, journal, sequence, json)"
       " VALUES (?, ?, ?, ?, ?, ?, ?)"},
      {&writer.insert_journal, "INSERT INTO journal (uuid) VALUES (?)"},
      {&writer.find_journal, "SELECT id FROM journal WHERE uuid = ?"},
      {&writer.update_journal,
       "UPDATE journal SET seen_us = ?2, host = coalesce(nullif(?3, ''), host) WHERE id = ?1"},
  };
  for (const auto& [statement, sql] : statements) {
    auto prepared = writer.database.prepare(sql);
    if (!prepared.ok()) return prepared.status();
    *statement = std::move(prepared).value();
  }
  const std::pair<IntervalTable*, const char*> tables[] = {
      {&writer.stored, "stored_interval"},
      {&writer.skipped, "skipped_interval"},
  };
  for (const auto& [table, name] : tables) {
    auto prepared = IntervalTable::prepare(writer.database, name);
    if (!prepared.ok()) return prepared.status();
    *table = std::move(prepared).value();
  }
  return writer;
}

Result<std::unique_ptr<SqliteStore>> SqliteStore::open(std::string path,
                                                       SqliteStoreOptions options) {
  auto writer = open_writer(path, options.full_text);
  if (!writer.ok()) {
    return Status(writer.status().code(),
                  "cannot open the store " + path + ": " + writer.status().message());
  }
  return std::unique_ptr<SqliteStore>(
      new SqliteStore(std::move(path), options, std::move(writer).value()));
}

SqliteStore::SqliteStore(std::string path, SqliteStoreOptions options, Writer writer)
    : path_(std::move(path)), options_(options), writer_(std::move(writer)) {
  thread_ = std::thread([this] { write_until_closed(); });
}

SqliteStore::~SqliteStore() {
  {
    MutexLock lock(mutex_);
    closing_ = true;
  }
  work_.notify_one();
  thread_.join();
}

void SqliteStore::append(Batch batch, Done done) {
  const std::size_t bytes = size_of(batch);
  {
    MutexLock lock(mutex_);
    if (queued_bytes_ + bytes <= options_.max_queued_bytes) {
      queued_bytes_ += bytes;
      queue_.push_back({std::move(batch), bytes, std::move(done), {}});
      work_.notify_one();
      return;
    }
  }
  done({Status::unavailable("too many records wait to be written"), 0, 0});
}

void SqliteStore::write_until_closed() {
  while (true) {
    std::deque<Pending> group = take_queued();
    if (group.empty()) return;
    const Status status = write_group(group);
    for (Pending& pending : group) {
      pending.done(status.ok() ? std::move(pending.result) : Appended{status, 0, 0});
    }
    if (status.ok()) tell_listener();
  }
}

// Waits for work. Empty only when the store closes and everything is written.
std::deque<SqliteStore::Pending> SqliteStore::take_queued() {
  MutexLock lock(mutex_);
  while (queue_.empty() && !closing_) work_.wait(mutex_);
  std::deque<Pending> group;
  std::size_t bytes = 0;
  while (!queue_.empty() && (group.empty() || bytes + queue_.front().bytes <= kMaxGroupBytes)) {
    bytes += queue_.front().bytes;
    group.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  queued_bytes_ -= bytes;
  return group;
}

Status SqliteStore::write_group(std::deque<Pending>& group) {
  Database& database = writer_.database;
  const std::int64_t last_id = writer_.last_id;
  Status status = database.run("BEGIN IMMEDIATE");
  for (auto each = group.begin(); status.ok() && each != group.end(); ++each) {
    if (!write_batch(*each)) status = database.error();
  }
  if (status.ok()) status = database.run("COMMIT");
  if (!status.ok()) writer_.last_id = last_id;
  // Some errors have rolled back on their own.
  if (!status.ok() && database.in_transaction()) {
    const Status undone = database.run("ROLLBACK");
    static_cast<void>(undone);  // `status` says what went wrong first
  }
  return status;
}

bool SqliteStore::write_batch(Pending& pending) {
  const Batch& batch = pending.batch;
  if (batch.journal.empty()) {
    for (const Record& record : batch.records) {
      if (!write_record(record, 0)) return false;
    }
    pending.result.stored = batch.records.size();
    return true;
  }
  if (batch.records.empty() && batch.skipped.empty()) return true;
  const std::int64_t journal = journal_id(batch.journal);
  return journal != 0 && write_numbered(batch.records, journal, pending.result) &&
         write_skipped(batch.skipped, journal) && update_journal(batch, journal);
}

bool SqliteStore::write_numbered(const std::vector<Record>& records, std::int64_t journal,
                                 Appended& result) {
  if (records.empty()) return true;
  const SequenceRange range{records.front().sequence.value_or(0),
                            records.back().sequence.value_or(0)};
  SequenceRanges stored;
  if (!writer_.stored.load(journal, range, stored)) return false;
  for (const Record& record : records) {
    const std::uint64_t sequence = record.sequence.value_or(0);
    if (stored.contains(sequence)) {
      ++result.duplicates;
      continue;
    }
    if (!write_record(record, journal)) return false;
    stored.add({sequence, sequence});
    ++result.stored;
  }
  return result.stored == 0 || writer_.stored.save(journal, range, stored);
}

// One by one: from the first to the last there may be many more than are named.
bool SqliteStore::write_skipped(const std::vector<SequenceRange>& skipped, std::int64_t journal) {
  for (const SequenceRange& each : skipped) {
    if (!writer_.skipped.add(journal, each)) return false;
  }
  return true;
}

bool SqliteStore::write_record(const Record& record, std::int64_t journal) {
  Statement& insert = writer_.insert_record;
  insert.bind(1, record.time_us);
  insert.bind(2, std::string_view(record.level));
  insert.bind(3, std::string_view(record.logger));
  insert.bind(4, std::string_view(record.host));
  if (record.sequence && journal != 0) {
    insert.bind(5, journal);
    insert.bind(6, static_cast<std::int64_t>(*record.sequence));
  } else {
    insert.bind_null(5);
    insert.bind_null(6);
  }
  insert.bind(7, std::string_view(record.json));
  if (!insert.run()) return false;
  const std::int64_t id = writer_.database.last_insert_id();
  if (writer_.text && !writer_.text->add(id, record.json)) return false;
  writer_.last_id = id;
  return true;
}

// 0 where it failed.
std::int64_t SqliteStore::journal_id(const std::string& uuid) {
  Statement& find = writer_.find_journal;
  find.bind(1, std::string_view(uuid));
  const Statement::Step step = find.step();
  const std::int64_t known = step == Statement::Step::row ? find.integer(0) : 0;
  find.reset();
  if (step != Statement::Step::done) return known;
  writer_.insert_journal.bind(1, std::string_view(uuid));
  return writer_.insert_journal.run() ? writer_.database.last_insert_id() : 0;
}

bool SqliteStore::update_journal(const Batch& batch, std::int64_t journal) {
  Statement& update = writer_.update_journal;
  update.bind(1, journal);
  update.bind(2, batch.received_us);
  update.bind(3, batch.records.empty() ? std::string_view() : batch.records.back().host);
  return update.run();
}

void SqliteStore::listen(Listener listener) {
  MutexLock lock(listener_mutex_);
  listener_ = std::move(listener);
}

void SqliteStore::tell_listener() {
  MutexLock lock(listener_mutex_);
  if (listener_) listener_(writer_.last_id);
}

Result<std::int64_t> SqliteStore::last_id() {
  return read([](Database& database) {
    return database.ask("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'record'");
  });
}

Result<std::optional<StoredRecord>> SqliteStore::find(std::int64_t id) {
  return read([&](Database& database) { return find_record(database, id); });
}

Result<std::vector<StoredRecord>> SqliteStore::read_after(std::int64_t id, std::size_t most_bytes) {
  return read([&](Database& database) { return read_records_after(database, id, most_bytes); });
}

Result<std::vector<HistogramCount>> SqliteStore::histogram(const HistogramQuery& query) {
  return read([&](Database& database) { return count_by_time(database, query); });
}

Result<Page> SqliteStore::query(const Query& query) {
  return read([&](Database& database) { return find_page(database, query); });
}

Result<GapsPage> SqliteStore::gaps(const GapsQuery& query) {
  return read([&](Database& database) { return read_gaps(database, query); });
}

std::uint64_t SqliteStore::size_bytes() const {
  std::uint64_t bytes = 0;
  for (const char* suffix : {"", "-wal", "-shm"}) {
    std::error_code error;  // one that is not there counts nothing
    const auto size = std::filesystem::file_size(path_ + suffix, error);
    if (!error) bytes += size;
  }
  return bytes;
}

// What `read` answers, on a connection out of the pool and within the deadline.
template <typename Read>
auto SqliteStore::read(const Read& read) -> decltype(read(std::declval<Database&>())) {
  auto reader = borrow_reader();
  if (!reader.ok()) return reader.status();
  auto deadline = steady_clock::now() + options_.query_timeout;
  sqlite3_progress_handler(reader->handle(), 10'000, is_past, &deadline);
  auto answer = read(*reader);
  sqlite3_progress_handler(reader->handle(), 0, nullptr, nullptr);
  if (answer.ok()) {
    return_reader(std::move(reader).value());
  } else if (steady_clock::now() > deadline) {
    return Status::unavailable("the query took too long: narrow it down");
  }
  return answer;
}

Result<Database> SqliteStore::borrow_reader() {
  {
    MutexLock lock(mutex_);
    if (!readers_.empty()) {
      Database reader = std::move(readers_.back());
      readers_.pop_back();
      return reader;
    }
  }
  auto reader = Database::open(path_, SQLITE_OPEN_READWRITE);
  if (!reader.ok()) return reader;
  if (Status set = reader->run("PRAGMA query_only = 1"); !set.ok()) return set;
  return reader;
}

void SqliteStore::return_reader(Database database) {
  MutexLock lock(mutex_);
  if (readers_.size() < kKeptReaders) readers_.push_back(std::move(database));
}

}  // namespace log_aggregator::collector
