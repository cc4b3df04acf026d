// Credentials: the headers that every request carries, from Options::headers and Options::auth.
// Used by the worker only.

#pragma once

#include <functional>

#include "log_aggregator/options.h"
#include "src/base/clock.h"
#include "src/deliver/mailbox.h"

namespace log_aggregator {

// Calls Options::auth and checks its headers. Whatever it throws becomes a Status.
Result<Headers> ask_application(const std::function<Result<Headers>()>& auth);

class Credentials {
 public:
  // Refers to all three, which must outlive it.
  Credentials(const Options& options, Mailbox& mailbox, const Clock& clock);

  // Asks Options::auth where its last answer is missing or older than auth_ttl. An old answer
  // serves on where the callback can run no more.
  Result<Headers> get();
  // The server refused the last ones. True if asking again may help.
  bool refresh();
  // The newest headers as they are, for keeping them out of reports.
  Headers known() const;

 private:
  Result<Headers> ask();

  const Options& options_;
  Mailbox& mailbox_;
  const Clock& clock_;
  Headers asked_;
  bool have_asked_ = false;
  bool stale_ = false;
  Clock::TimePoint expires_{};
};

}  // namespace log_aggregator
