// Database and Statement: sqlite3's C interface with owners, and errors as Status.
//
// A Database and its statements belong to one thread at a time. Values reach SQL only through
// bind().

#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "log_aggregator/status.h"

namespace log_aggregator::collector {

class Statement {
 public:
  enum class Step { row, done, error };

  Statement() = default;

  // Parameters count from 1. Text is not copied: it must stay until the statement is reset.
  void bind(int parameter, std::int64_t value);
  void bind(int parameter, std::string_view text);
  void bind_null(int parameter);

  // On error, Database::error() says what it was.
  Step step();
  // Runs a statement that has no rows to the end and resets it.
  bool run();
  void reset();

  // Columns count from 0; a text is valid until the next step or reset.
  std::int64_t integer(int column) const;
  std::string_view text(int column) const;

 private:
  friend class Database;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

class Database {
 public:
  static Result<Database> open(const std::string& path, int flags);

  Status run(const char* sql);
  Result<Statement> prepare(std::string_view sql);
  // One integer, from a statement that answers one.
  Result<std::int64_t> ask(std::string_view sql);

  std::int64_t last_insert_id() const;
  bool in_transaction() const;
  Status error() const;
  sqlite3* handle() { return database_.get(); }

 private:
  struct Close {
    void operator()(sqlite3* database) const { sqlite3_close_v2(database); }
  };
  std::unique_ptr<sqlite3, Close> database_;
};

}  // namespace log_aggregator::collector
