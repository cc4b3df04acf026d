// Status and Result<T>: how every fallible function of this library answers.
//
// No function of the library throws on purpose; a caller that ignores an answer is told so by the
// compiler. A message says what is wrong and what to do about it, and never carries a secret.

#pragma once

#include <optional>
#include <string>
#include <utility>

namespace log_aggregator {

enum class StatusCode {
  ok,
  invalid_argument,  // an option or an argument is wrong; the caller has to change it
  unavailable,       // something outside failed: the network, a file, the system
  not_found,         // a file or directory is not there
  out_of_memory,
};

class [[nodiscard]] Status {
 public:
  Status() = default;  // ok
  Status(StatusCode code, std::string message) : code_(code), message_(std::move(message)) {}

  static Status invalid_argument(std::string message) {
    return {StatusCode::invalid_argument, std::move(message)};
  }
  static Status unavailable(std::string message) {
    return {StatusCode::unavailable, std::move(message)};
  }

  bool ok() const { return code_ == StatusCode::ok; }
  StatusCode code() const { return code_; }
  const std::string& message() const { return message_; }

 private:
  StatusCode code_ = StatusCode::ok;
  std::string message_;
};

// A value, or the Status that says why there is none.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}          // NOLINT(google-explicit-constructor)
  Result(Status status) : status_(std::move(status)) {}  // NOLINT(google-explicit-constructor)

  bool ok() const { return value_.has_value(); }
  const Status& status() const { return status_; }

  // Only where ok().
  T& value() & { return *value_; }
  const T& value() const& { return *value_; }
  T&& value() && { return std::move(*value_); }
  T* operator->() { return &*value_; }
  const T* operator->() const { return &*value_; }
  T& operator*() { return *value_; }
  const T& operator*() const { return *value_; }

 private:
  std::optional<T> value_;
  Status status_;
};

}  // namespace log_aggregator
