// Status and Result<T>: how every fallible function of this library answers.
//
// No function of the library throws on purpose; a caller that ignores an answer is told so by the
// compiler. A message says what is wrong and what to do about it, and never carries a secret.

#pragma once

#include <optional>
#include <string>
#include <utility>

namespace log_aggregator {

// What kind of failure it is, for callers that act on it.
enum class StatusCode {
  ok,                // there was none
  invalid_argument,  // an option or an argument is wrong; the caller has to change it
  unavailable,       // something outside failed: the network, a file, the system
  not_found,         // a file or directory is not there
  out_of_memory,     // there is no memory for what was asked
};

// How a call ended that gives nothing back.
class [[nodiscard]] Status {
 public:
  Status() = default;  // ok
  // A failure, with a message for who reads logs.
  Status(StatusCode code, std::string message) : code_(code), message_(std::move(message)) {}

  // A failure of StatusCode::invalid_argument.
  static Status invalid_argument(std::string message) {
    return {StatusCode::invalid_argument, std::move(message)};
  }
  // A failure of StatusCode::unavailable.
  static Status unavailable(std::string message) {
    return {StatusCode::unavailable, std::move(message)};
  }

  bool ok() const { return code_ == StatusCode::ok; }      // whether it did not fail
  StatusCode code() const { return code_; }                // of which kind it is
  const std::string& message() const { return message_; }  // empty where ok()

 private:
  StatusCode code_ = StatusCode::ok;
  std::string message_;
};

// A value, or the Status that says why there is none.
template <typename T>
class [[nodiscard]] Result {
 public:
  // From a value: it is ok().
  Result(T value) : value_(std::move(value)) {}  // NOLINT(google-explicit-constructor)
  // From a status that is not ok().
  Result(Status status) : status_(std::move(status)) {}  // NOLINT(google-explicit-constructor)

  bool ok() const { return value_.has_value(); }     // whether there is a value
  const Status& status() const& { return status_; }  // why there is none, or ok
  Status status() && { return std::move(status_); }  // the same, to be taken

  // The value and its members, only where ok().
  T& value() & { return *value_; }
  const T& value() const& { return *value_; }       // the same, to be read
  T&& value() && { return std::move(*value_); }     // the same, to be taken
  T* operator->() { return &*value_; }              // a member of the value
  const T* operator->() const { return &*value_; }  // the same, to be read
  T& operator*() { return *value_; }                // the value
  const T& operator*() const { return *value_; }    // the same, to be read

 private:
  std::optional<T> value_;
  Status status_;
};

}  // namespace log_aggregator
