// Handler::Backend is what stands behind a Handler: a pipeline of its own (Impl, in handler.cc), or
// the handler of another copy of the library (Joined, in joined.h). Its methods are Handler's.

#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "log_aggregator/handler.h"
#include "src/handler/record_encoder.h"
#include "src/handler/unkept.h"

namespace log_aggregator {

class LOG_AGGREGATOR_HIDDEN Handler::Backend {
 public:
  explicit Backend(RecordEncoder::Common records) : records_(std::move(records)) {}
  virtual ~Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;

  // Encodes the record and hands it over.
  bool log(const Record& record);
  // Nothing where it would wait and may not.
  virtual std::optional<bool> log_json(int severity, std::string_view record, bool may_wait) = 0;
  virtual bool flush(std::optional<std::chrono::milliseconds> timeout) = 0;
  virtual bool close(std::optional<std::chrono::milliseconds> timeout) = 0;
  virtual bool check_connection() = 0;
  virtual void detach_callbacks(std::optional<std::chrono::milliseconds> timeout) = 0;
  virtual Stats stats() const = 0;
  virtual const Options& options() const = 0;
  const std::string& record_prefix() const { return records_.prefix; }

 protected:
  const RecordEncoder::Common records_;
  Unkept unkept_;  // records that found no memory to be encoded in, or for a pipeline
};

}  // namespace log_aggregator
