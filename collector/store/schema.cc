#include "collector/store/schema.h"

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>

namespace log_aggregator::collector {

namespace {

// "LogA": tells our files from other SQLite files. Do not change.
constexpr std::int64_t kApplicationId = 0x4c6f6741;

// kSteps[n] makes version n + 1 out of version n; version 0 is an empty file. Do not change a step
// that has been released: files made by it are out there.
constexpr const char* kSteps[] = {
    // AUTOINCREMENT: an id is never used twice, so a cursor stays exact when old records are
    // removed. Stored intervals stand in a table of their own, because they outlive the records.
    R"sql(
BEGIN IMMEDIATE;
CREATE TABLE record (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  time_us INTEGER NOT NULL,
  level TEXT NOT NULL,
  logger TEXT NOT NULL,
  host TEXT NOT NULL,
  journal INTEGER,
  sequence INTEGER,
  json TEXT NOT NULL
);
CREATE INDEX record_time ON record (time_us);
CREATE INDEX record_level ON record (level);
CREATE INDEX record_logger ON record (logger);
CREATE INDEX record_host ON record (host);
CREATE TABLE journal (id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE);
CREATE TABLE stored_interval (
  journal INTEGER NOT NULL,
  first INTEGER NOT NULL,
  last INTEGER NOT NULL,
  PRIMARY KEY (journal, first)
) WITHOUT ROWID;
PRAGMA application_id = 1282369345;
PRAGMA user_version = 1;
COMMIT;
)sql",
    // What a sender gave up, and whose a journal is: who looks at a gap wants to know the machine,
    // and whether the journal may still be on its way.
    R"sql(
BEGIN IMMEDIATE;
CREATE TABLE skipped_interval (
  journal INTEGER NOT NULL,
  first INTEGER NOT NULL,
  last INTEGER NOT NULL,
  PRIMARY KEY (journal, first)
) WITHOUT ROWID;
ALTER TABLE journal ADD COLUMN host TEXT NOT NULL DEFAULT '';
ALTER TABLE journal ADD COLUMN seen_us INTEGER NOT NULL DEFAULT 0;
PRAGMA user_version = 2;
COMMIT;
)sql",
    // A histogram by time and level reads nothing but this index. Words have an index of their own,
    // which a store may have or not (text_index.h): writers of before this version would not keep
    // it.
    R"sql(
BEGIN IMMEDIATE;
DROP INDEX record_time;
CREATE INDEX record_time_level ON record (time_us, level);
PRAGMA user_version = 3;
COMMIT;
)sql",
};
constexpr std::int64_t kVersion = std::size(kSteps);

// Whether the file is one that the steps apply to.
Status check_origin(Database& database, std::int64_t version) {
  const auto tables = database.ask("SELECT count(*) FROM sqlite_master");
  if (!tables.ok()) return tables.status();
  const auto application = database.ask("PRAGMA application_id");
  if (!application.ok()) return application.status();
  const bool is_empty = tables.value() == 0;
  if (!is_empty && application.value() != kApplicationId) {
    return Status::invalid_argument("it is a database of something else");
  }
  if (version > kVersion || version < (is_empty ? 0 : 1)) {
    return Status::invalid_argument("it was made by another version (format " +
                                    std::to_string(version) + ", this one knows " +
                                    std::to_string(kVersion) + ")");
  }
  return {};
}

}  // namespace

Status prepare_schema(Database& database) {
  const auto version = database.ask("PRAGMA user_version");
  if (!version.ok()) return version.status();
  if (Status ours = check_origin(database, version.value()); !ours.ok()) return ours;
  for (std::int64_t step = version.value(); step < kVersion; ++step) {
    Status done = database.run(kSteps[static_cast<std::size_t>(step)]);
    if (!done.ok()) return done;
  }
  return {};
}

}  // namespace log_aggregator::collector
