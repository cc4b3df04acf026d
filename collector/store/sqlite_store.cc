#include "collector/store/sqlite_store.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <limits>
#include <utility>

#include "collector/store/schema.h"
#include "collector/store/sqlite_gaps.h"

namespace log_aggregator::collector {

namespace {

using std::chrono::steady_clock;

// What goes into one transaction, so that its requests do not wait for the whole queue.
constexpr std::size_t kMaxGroupBytes = 32 << 20;
// A page ends early rather than hold more than this.
constexpr std::size_t kMaxPageBytes = 16 << 20;
constexpr int kWalkedRecords = 20'000;
constexpr auto kQueryDeadline = std::chrono::seconds(10);
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

// A time without any other filter: SQLite's own plan for it would be to walk through all records.
bool is_by_time_only(const Query& query) {
  const bool by_time = query.from_us || query.to_us;
  return by_time && !query.logger && !query.host && query.levels.empty();
}

// How to find the ids that a query asks for.
enum class Plan {
  automatic,    // SQLite chooses: right where there is an index for one value
  newest_only,  // walk through the newest records, at most kWalkedRecords
  time_index,   // all ids of the time, sorted
};

std::string query_sql(const Query& query, Plan plan) {
  std::string table = "record";
  std::string where = " WHERE id < ?1";
  if (plan == Plan::newest_only) {
    table += " NOT INDEXED";
    where +=
        " AND id >= min(?1, (SELECT max(id) + 1 FROM record)) - " + std::to_string(kWalkedRecords);
  }
  if (plan == Plan::time_index) table += " INDEXED BY record_time";
  if (query.from_us) where += " AND time_us >= ?";
  if (query.to_us) where += " AND time_us < ?";
  if (query.logger) where += " AND logger = ?";
  if (query.host) where += " AND host = ?";
  if (!query.levels.empty()) {
    where += " AND level IN (?";
    for (std::size_t i = 1; i < query.levels.size(); ++i) where += ",?";
    where += ")";
  }
  // Picks the ids first, so that sorting them does not carry the records along.
  return "SELECT id, json FROM record WHERE id IN (SELECT id FROM " + table + where +
         " ORDER BY id DESC LIMIT ?) ORDER BY id DESC";
}

// In the order of query_sql. One more than the limit is asked for, to know if there is a next page.
void bind_query(Statement& statement, const Query& query) {
  int parameter = 0;
  statement.bind(++parameter, query.before.value_or(std::numeric_limits<std::int64_t>::max()));
  if (query.from_us) statement.bind(++parameter, *query.from_us);
  if (query.to_us) statement.bind(++parameter, *query.to_us);
  if (query.logger) statement.bind(++parameter, std::string_view(*query.logger));
  if (query.host) statement.bind(++parameter, std::string_view(*query.host));
  for (const std::string& level : query.levels) {
    statement.bind(++parameter, std::string_view(level));
  }
  statement.bind(++parameter, static_cast<std::int64_t>(query.limit + 1));
}

int is_past(void* deadline) {
  return steady_clock::now() > *static_cast<const steady_clock::time_point*>(deadline) ? 1 : 0;
}

Result<Page> read_page(Database& database, const Query& query, Plan plan) {
  auto statement = database.prepare(query_sql(query, plan));
  if (!statement.ok()) return statement.status();
  bind_query(*statement, query);
  Page page;
  std::size_t bytes = 0;
  while (true) {
    switch (statement->step()) {
      case Statement::Step::error:
        return database.error();
      case Statement::Step::done:
        return page;
      case Statement::Step::row:
        break;
    }
    const std::string_view json = statement->text(1);
    const bool full = page.records.size() == query.limit || bytes + json.size() > kMaxPageBytes;
    if (full && !page.records.empty()) {
      page.next = page.records.back().id;
      return page;
    }
    bytes += json.size();
    page.records.push_back({statement->integer(0), std::string(json)});
  }
}

// A long time holds so many records that a page of them is among the newest; a short one so few
// that sorting them is quick. Which it is shows on trying the former.
Result<Page> find_page(Database& database, const Query& query) {
  if (!is_by_time_only(query)) return read_page(database, query, Plan::automatic);
  auto page = read_page(database, query, Plan::newest_only);
  if (!page.ok() || page->next) return page;
  return read_page(database, query, Plan::time_index);
}

}  // namespace

Result<SqliteStore::Writer> SqliteStore::open_writer(const std::string& path) {
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
                                                       std::size_t max_queued_bytes) {
  auto writer = open_writer(path);
  if (!writer.ok()) {
    return Status(writer.status().code(),
                  "cannot open the store " + path + ": " + writer.status().message());
  }
  return std::unique_ptr<SqliteStore>(
      new SqliteStore(std::move(path), max_queued_bytes, std::move(writer).value()));
}

SqliteStore::SqliteStore(std::string path, std::size_t max_queued_bytes, Writer writer)
    : path_(std::move(path)), max_queued_bytes_(max_queued_bytes), writer_(std::move(writer)) {
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
    if (queued_bytes_ + bytes <= max_queued_bytes_) {
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
  Status status = database.run("BEGIN IMMEDIATE");
  for (auto each = group.begin(); status.ok() && each != group.end(); ++each) {
    if (!write_batch(*each)) status = database.error();
  }
  if (status.ok()) status = database.run("COMMIT");
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
  return insert.run();
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

Result<Page> SqliteStore::query(const Query& query) {
  return read([&](Database& database) { return find_page(database, query); });
}

Result<GapsPage> SqliteStore::gaps(const GapsQuery& query) {
  return read([&](Database& database) { return read_gaps(database, query); });
}

// What `read` answers, on a connection out of the pool and within the deadline.
template <typename Read>
auto SqliteStore::read(const Read& read) -> decltype(read(std::declval<Database&>())) {
  auto reader = borrow_reader();
  if (!reader.ok()) return reader.status();
  // A query that no index helps must not hold a thread for ever.
  auto deadline = steady_clock::now() + kQueryDeadline;
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
