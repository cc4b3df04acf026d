// Handler::Joined is a Handler's way into the handler of another copy of the library: it encodes
// records and hands them over, see handler_functions.h. Of forks it knows for its own count alone;
// the other handler is told of them by its own copy.

#pragma once

#include <optional>
#include <string_view>

#include "log_aggregator/handler_functions.h"
#include "src/handler/backend.h"
#include "src/handler/fork.h"

namespace log_aggregator {

class LOG_AGGREGATOR_HIDDEN Handler::Joined final : public Backend, public ForkAware {
 public:
  // `functions` are complete and of our version. Holds their handler from now on. The caller adds
  // it to ForkWatch.
  Joined(const HandlerFunctions& functions, std::string_view logger);
  ~Joined() override;

  std::optional<bool> log_json(int severity, std::string_view record, bool may_wait) override;
  bool flush(std::optional<std::chrono::milliseconds> timeout) override;
  // The handler is its owner's to close: this only sees to it that what was logged is delivered.
  bool close(std::optional<std::chrono::milliseconds> timeout) override { return flush(timeout); }
  bool check_connection() override;
  // They are its owner's, too.
  void detach_callbacks(std::optional<std::chrono::milliseconds>) override {}
  Stats stats() const override;
  const Options& options() const override { return options_; }

  void before_fork() override {}
  void after_fork_in_parent() override {}
  void after_fork_in_child() override { unkept_.reset(); }

 private:
  const HandlerFunctions functions_;
  const Options options_;
};

}  // namespace log_aggregator
