// What the commands that show stored records share: which ones to ask for, pages of them, and how
// they are printed.

#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/client.h"
#include "log_aggregator/status.h"

namespace log_aggregator::cli {

// The options --level, --logger and --host, and a query.
struct RecordOptions {
  std::string query;
  std::vector<std::string> levels;
  std::string logger;
  std::string host;

  // All but the query, which commands take each in its own way.
  void add_to(CLI::App& command);
  // As parameters of a URL, each with a leading "&".
  std::string parameters(Client& client) const;
};

struct ListedRecord {
  std::int64_t id = 0;
  std::string json;  // as it came
};

struct ListedPage {
  std::vector<ListedRecord> records;  // newest first
  std::optional<std::string> next;
};

Result<ListedPage> read_page(std::string_view body);

// Says on standard error what an answer other than 2xx to a request for records means, and returns
// the exit code for it. Of a query that cannot be understood it shows the place.
int fail_refused(const ClientAnswer& answer, const std::string& url, const std::string& query);

// Prints records to standard output: as text, in colours on a terminal, or as one JSON object per
// line.
class RecordPrinter {
 public:
  explicit RecordPrinter(bool json);

  Status print(std::string_view record) const;
  Status flush() const;

 private:
  const bool json_;
  const bool colours_;
};

}  // namespace log_aggregator::cli
