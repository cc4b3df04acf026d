// RecordEncoder turns Records into canonical records: those of one handler, on one thread.
//
// What records have in common is encoded once and kept: what every record of a handler begins with,
// where a call stands and its logger, the thread and the process. A child process and a thread that
// changes its name write their own.

#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "log_aggregator/record.h"
#include "src/handler/record_writer.h"

namespace log_aggregator {

class RecordEncoder {
 public:
  // What all records of a handler have. `id` is no other handler's, ever.
  struct Common {
    std::uint64_t id;
    std::string prefix;  // see RecordWriter
    std::string logger;  // of records that name none
    std::size_t max_record_bytes;
    std::vector<std::pair<int, std::string>> level_names{};  // in the place of the usual ones
  };

  explicit RecordEncoder(const Common& common);

  // Valid until the next call. Throws std::bad_alloc only.
  std::string_view encode(const Record& record);
  // Lets go of the memory that a large record has taken.
  void trim();

 private:
  // Where a call stands and its logger.
  struct Site {
    SourceLocation source;
    std::string file, logger;
    std::string json;           // both, behind the end of a message
    std::string with_identity;  // and who logs
    std::uint64_t identity = 0;

    bool is(const SourceLocation& other, std::string_view other_logger) const;
  };

  void begin(const Record& record);
  Site& site_of(const SourceLocation& source, std::string_view logger);
  std::string_view level_name_of(const Record& record);
  void write_stranger(const Record& record);
  void write_extra(const Record& record);

  // What the next records find kept. Seldom called: out of the way of those that are.
  [[gnu::cold]] void renew(Site& site, const SourceLocation& source, std::string_view logger);
  [[gnu::cold]] void add_identity(Site& site);
  [[gnu::cold]] void renew_identity(std::uint64_t identity);
  [[gnu::cold]] std::string_view unusual_level_name(Level level);

  static constexpr std::size_t kSites = 256;

  const std::string logger_;
  const std::vector<std::pair<int, std::string>> level_names_;
  RecordWriter writer_;
  std::unique_ptr<std::array<Site, kSites>> sites_;  // each at a place that its address gives
  // Of the thread that encodes, and its process.
  std::uint64_t identity_ = 0;  // another number whenever what follows is another
  std::uint64_t thread_id_ = 0;
  std::string identity_json_;
  std::string unusual_level_name_;
};

// The calling thread's encoder of a handler for as long as one record takes. Where that is in use
// already, as a value that is being written logs, it is another one, and so it is on a thread that
// is ending.
class BorrowedEncoder {
 public:
  explicit BorrowedEncoder(const RecordEncoder::Common& common);
  ~BorrowedEncoder();
  BorrowedEncoder(const BorrowedEncoder&) = delete;
  BorrowedEncoder& operator=(const BorrowedEncoder&) = delete;

  RecordEncoder* operator->() { return encoder_; }

 private:
  RecordEncoder* encoder_ = nullptr;
  bool* in_use_ = nullptr;  // of the thread's own
  std::unique_ptr<RecordEncoder> another_;
};

// For RecordEncoder::Common::id.
std::uint64_t next_encoder_id();

// In a forked child: its records have another process and another thread.
void renew_identities_in_child();

}  // namespace log_aggregator
