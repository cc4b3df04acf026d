#include "collector/store/schema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

namespace log_aggregator::collector {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

// What the first release made. Do not change.
constexpr const char* kVersion1 = R"sql(
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
)sql";

class SchemaTest : public testing::Test {
 protected:
  SchemaTest() {
    std::string name = (fs::temp_directory_path() / "schema_test_XXXXXX").string();
    directory_ = mkdtemp(name.data());
    auto opened = Database::open((directory_ / "logs.sqlite").string(),
                                 SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
    EXPECT_TRUE(opened.ok()) << opened.status().message();
    if (opened.ok()) database_ = std::move(opened).value();
  }
  ~SchemaTest() override { fs::remove_all(directory_); }

  void run(const char* sql) {
    const Status status = database_.run(sql);
    ASSERT_TRUE(status.ok()) << status.message();
  }
  std::int64_t ask(const char* sql) {
    auto answer = database_.ask(sql);
    EXPECT_TRUE(answer.ok()) << answer.status().message();
    return answer.ok() ? *answer : -1;
  }
  // The columns of all tables, as text.
  std::string layout() {
    auto statement = database_.prepare(
        "SELECT t.name || '.' || c.name || ' ' || c.type || ' ' || c.\"notnull\" || ' ' || c.pk"
        " FROM sqlite_master t, pragma_table_info(t.name) c WHERE t.type = 'table' ORDER BY 1");
    EXPECT_TRUE(statement.ok()) << statement.status().message();
    std::string text;
    while (statement->step() == Statement::Step::row) {
      text += std::string(statement->text(0)) + "\n";
    }
    return text;
  }

  fs::path directory_;
  Database database_;
};

TEST_F(SchemaTest, BringsAFileOfVersion1UpToDateAndLosesNothing) {
  run(kVersion1);
  run("INSERT INTO record (time_us, level, logger, host, journal, sequence, json)"
      " VALUES (1, 'INFO', 'app', 'h', 1, 7, '{\"message\":\"m\"}');"
      "INSERT INTO journal (uuid) VALUES ('6f1c0f6e-0b57-4c39-9f5b-7f0f3a6d2c11');"
      "INSERT INTO stored_interval VALUES (1, 7, 7)");
  ASSERT_TRUE(prepare_schema(database_).ok());
  EXPECT_EQ(ask("PRAGMA user_version"), 3);
  EXPECT_EQ(ask("SELECT count(*) FROM record INDEXED BY record_time_level WHERE time_us = 1"), 1);
  EXPECT_EQ(ask("SELECT count(*) FROM record WHERE journal = 1 AND sequence = 7"), 1);
  EXPECT_EQ(ask("SELECT first FROM stored_interval WHERE journal = 1"), 7);
  EXPECT_EQ(ask("SELECT seen_us FROM journal WHERE uuid LIKE '6f1c%'"), 0);
  EXPECT_EQ(ask("SELECT count(*) FROM skipped_interval"), 0);
}

TEST_F(SchemaTest, AMigratedFileHasTheLayoutOfANewOne) {
  run(kVersion1);
  ASSERT_TRUE(prepare_schema(database_).ok());
  const std::string migrated = layout();
  EXPECT_THAT(migrated, HasSubstr("skipped_interval.first INTEGER"));
  database_ = std::move(Database::open((directory_ / "new.sqlite").string(),
                                       SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE))
                  .value();
  ASSERT_TRUE(prepare_schema(database_).ok());
  EXPECT_EQ(layout(), migrated);
}

TEST_F(SchemaTest, DoesNothingToAFileThatIsUpToDate) {
  ASSERT_TRUE(prepare_schema(database_).ok());
  const std::int64_t changes = ask("PRAGMA schema_version");
  ASSERT_TRUE(prepare_schema(database_).ok());
  EXPECT_EQ(ask("PRAGMA schema_version"), changes);
}

TEST_F(SchemaTest, AStepThatFailsLeavesTheVersionBeforeIt) {
  run(kVersion1);
  run("CREATE TABLE skipped_interval (x)");
  EXPECT_FALSE(prepare_schema(database_).ok());
  run("ROLLBACK");  // as closing the connection does
  EXPECT_EQ(ask("PRAGMA user_version"), 1);
  run("DROP TABLE skipped_interval");
  EXPECT_TRUE(prepare_schema(database_).ok());
}

TEST_F(SchemaTest, RefusesFilesOfOthersAndOfLaterVersions) {
  run("CREATE TABLE theirs (x); PRAGMA user_version = 1");
  EXPECT_THAT(prepare_schema(database_).message(), HasSubstr("something else"));
  run("DROP TABLE theirs; PRAGMA user_version = 0");
  ASSERT_TRUE(prepare_schema(database_).ok());
  run("PRAGMA user_version = 4");
  EXPECT_THAT(prepare_schema(database_).message(), HasSubstr("format 4, this one knows 3"));
  run("PRAGMA user_version = 0");
  EXPECT_FALSE(prepare_schema(database_).ok());
}

}  // namespace
}  // namespace log_aggregator::collector
