// Transport: HTTP as delivery needs it. Several requests may be under way, each on a connection of
// its own. poll() is also where the worker sleeps, so that one call wakes it whatever it waits for.

#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "log_aggregator/options.h"
#include "src/base/clock.h"
#include "src/format/body.h"

namespace log_aggregator {

struct Request {
  enum class Method { get, post };
  Method method = Method::get;
  std::string url;
  Headers headers;
  Body* body = nullptr;  // read until the answer is there or cancel() returns; null: none
  std::chrono::milliseconds timeout{0};  // the total, until the answer is complete
};

struct Response {
  std::uint64_t request = 0;  // its number
  int status = 0;             // 0: there was no answer, and `error` says why
  std::string error;          // for people; without secrets
  std::string body;           // its first 4 MiB
  std::string retry_after;    // the header's value; empty: none
  bool new_connection = false;
  // Of the network below the request, without what the server took; 0: unknown.
  std::chrono::microseconds round_trip{0};
};

class Transport {
 public:
  virtual ~Transport() = default;

  // ---- one thread

  // Returns the request's number, which its answer bears.
  virtual std::uint64_t submit(Request request) = 0;
  // Waits for an answer, wake() or the time, whichever is first, and returns the answer if that
  // is what came. May return early without one.
  virtual std::optional<Response> poll(Clock::TimePoint until) = 0;
  // Gives the requests under way up.
  virtual void cancel() = 0;

  // ---- any thread

  // Ends a poll that waits, or else the next one.
  virtual void wake() noexcept = 0;
};

}  // namespace log_aggregator
