// Handler::Joined is a Handler's way into the handler of another copy of the library: it encodes
// records and hands them over, see handler_functions.h.

#pragma once

#include <optional>
#include <string_view>

#include "log_aggregator/handler_functions.h"
#include "src/handler/backend.h"
#include "src/handler/record_encoder.h"
#include "src/handler/unkept.h"

namespace log_aggregator {

class LOG_AGGREGATOR_HIDDEN Handler::Joined final : public Backend {
 public:
  // `functions` are complete and of our version. Holds their handler from now on.
  Joined(const HandlerFunctions& functions, std::string_view logger);
  ~Joined() override;

  bool log(const Record& record) override;
  std::optional<bool> log(int severity, std::string_view record, bool may_wait) override;
  bool flush(std::optional<std::chrono::milliseconds> timeout) override;
  // The handler is its owner's to close: this only sees to it that what was logged is delivered.
  bool close(std::optional<std::chrono::milliseconds> timeout) override { return flush(timeout); }
  bool check_connection() override;
  // They are its owner's, too.
  void detach_callbacks(std::optional<std::chrono::milliseconds>) override {}
  Stats stats() const override;
  const Options& options() const override { return options_; }
  const std::string& record_prefix() const override { return records_.prefix; }

 private:
  const HandlerFunctions functions_;
  const Options options_;
  const RecordEncoder::Common records_;
  Unkept unkept_;
};

}  // namespace log_aggregator
