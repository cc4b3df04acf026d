#include "src/deliver/credentials.h"

#include <exception>
#include <utility>

namespace log_aggregator {

Result<Headers> ask_application(const std::function<Result<Headers>()>& auth) {
  try {
    Result<Headers> answer = auth();
    if (!answer.ok()) return answer;
    for (const Header& header : answer.value()) {
      if (Status status = check_header(header); !status.ok()) return status;
    }
    return answer;
  } catch (const std::exception& error) {
    return Status::unavailable(std::string("the auth callback threw: ") + error.what());
  } catch (...) {
    return Status::unavailable("the auth callback threw");
  }
}

Credentials::Credentials(const Options& options, Mailbox& mailbox, const Clock& clock)
    : options_(options), mailbox_(mailbox), clock_(clock) {}

Result<Headers> Credentials::ask() {
  Result<Headers> answer = Status::unavailable("the auth callback can no longer be called");
  mailbox_.run([&] { answer = ask_application(options_.auth); });
  return answer;
}

Result<Headers> Credentials::get() {
  if (!options_.auth) return options_.headers;
  if (!have_asked_ || stale_ || clock_.now() >= expires_) {
    Result<Headers> answer = ask();
    if (answer.ok()) {
      asked_ = std::move(answer.value());
      have_asked_ = true;
      stale_ = false;
      expires_ = clock_.now() + options_.auth_ttl;
    } else if (!have_asked_ || stale_) {
      return answer.status();
    }
  }
  return known();
}

bool Credentials::refresh() {
  stale_ = true;
  return options_.auth != nullptr;
}

Headers Credentials::known() const {
  Headers headers = options_.headers;
  headers.insert(headers.end(), asked_.begin(), asked_.end());
  return headers;
}

}  // namespace log_aggregator
