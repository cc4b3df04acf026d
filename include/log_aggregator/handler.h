// Handler ships log records to a log aggregation API. Start here.
//
//   log_aggregator::Options options;
//   options.api_endpoint = "http://127.0.0.1:8080/api/logs";
//   auto made = log_aggregator::Handler::create(std::move(options));
//   if (!made.ok()) ...made.status().message()...
//   log_aggregator::Handler& handler = **made;
//   handler.log(Level::info, "user logged in", field("user_id", 123));
//
// A forked child goes on with the handler as if it were new: it delivers what it logs itself, by a
// worker and connections of its own that start at its first record, and counts from zero; what its
// parent has logged is its parent's. A handler that was closed is closed in the child. Three things
// to know: a child that ends by _exit() has to flush() first; one that is forked from inside a
// callback finds the flush(), close() or log() it was called from at an end, with false; where it
// was called on the handler's own thread, the child ends, with status 0, when the callback returns.
//
// Every method may be called from any thread, at any time, also while the handler closes. Nothing
// throws (but stats(), where there is no memory for its text), prints (but through Options::report)
// or aborts; a thread that is cancelled (pthread_cancel(3)) is so when the method returns. Creating
// a handler opens no socket and starts no thread: the one worker thread starts at the first record.
// What happens when the queue is full is Options::overflow; every record that does not arrive is
// counted in stats() and reported.

#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "log_aggregator/export.h"
#include "log_aggregator/handler_functions.h"
#include "log_aggregator/options.h"
#include "log_aggregator/record.h"
#include "log_aggregator/stats.h"
#include "log_aggregator/status.h"

namespace log_aggregator {

// Takes records on any thread and delivers them on one of its own.
class LOG_AGGREGATOR_API Handler {
 public:
  // Fails with invalid_argument where an option is out of range, a URL or a header malformed, with
  // out_of_memory where there is none.
  static Result<std::unique_ptr<Handler>> create(Options options);

  // One that logs through a handler which somebody else made and owns, with another copy of the
  // library perhaps: of that handler's queue, in one order with what others log there. In a Python
  // extension, handler_of() in python.h makes it. `logger` is its Options::logger. Holds the other
  // handler until it is destroyed. To close that is up to its owner, and what is logged afterwards
  // is counted there as DropCause::closed; close() here flushes, and no more. stats() are those of
  // the whole handler. Of options() only `logger` and `max_record_bytes` tell something;
  // detach_callbacks() does nothing. Fails with invalid_argument where `functions` are of another
  // version, with out_of_memory where there is none.
  static Result<std::unique_ptr<Handler>> join(const HandlerFunctions& functions,
                                               std::string_view logger = {});

  // Closes, as close() does.
  ~Handler();
  Handler(const Handler&) = delete;
  Handler& operator=(const Handler&) = delete;

  // Hands one record over: what it points at is encoded and copied before the call returns. Beside
  // level and message it may be given, in any order, fields, exception(), trace() and logger(), see
  // record.h. Returns whether the record was taken; with `background` off, whether it was
  // delivered, false also where a later one of another thread was lost. Waits only under
  // Overflow::block or with `background` off.
  template <typename... Parts>
  bool log(Level level, const Message& message, const Parts&... parts) noexcept {
    RecordParts<sizeof...(Parts)> collected(level, message);
    (collected.add(parts), ...);
    return log(collected.record());
  }
  // The same for a record that is put together already.
  bool log(const Record& record) noexcept;

  // The same for one that is encoded already: a JSON object on one line, as the API takes it. The
  // handler does not look into it; an empty text is dropped as `refused`. `severity` is on the
  // scale of Level.
  bool log_json(int severity, std::string_view record) noexcept;
  // For threads that may not wait, as they hold a lock: nullopt where it would wait, and then
  // nothing has happened.
  std::optional<bool> try_log_json(int severity, std::string_view record) noexcept;

  // Sends what is queued without waiting for batches to fill, and waits until all that was logged
  // before the call has met its fate or the timeout (default: close_timeout) has passed. True only
  // if every record logged before the call, from the handler's creation on, was delivered.
  bool flush(std::optional<std::chrono::milliseconds> timeout = std::nullopt) noexcept;

  // Delivers what is left, for at most the timeout (default: close_timeout), drops and reports the
  // rest, and ends the worker. A close right after a flush that ran out of time does not wait a
  // second time. Calling it again is harmless. True if nothing was left.
  bool close(std::optional<std::chrono::milliseconds> timeout = std::nullopt) noexcept;

  // Asks the API's health address now, on the calling thread. True for an answer of 2xx.
  bool check_connection() noexcept;

  // What has become of all records so far, in numbers that agree with each other.
  Stats stats() const;

  // Options::auth and Options::report are from now on called only on threads that wait in flush(),
  // close() or log(); where none waits, reports go to standard error and credentials stay as they
  // are. Returns when the worker is out of them or the timeout (default: close_timeout) has passed.
  // For runtimes that shut down before the process does, as Python's interpreter.
  void detach_callbacks(std::optional<std::chrono::milliseconds> timeout = std::nullopt) noexcept;

  // The options in force. They hold the credentials: do not show them.
  const Options& options() const;
  // The host and the static fields as members of a JSON object, for records given to log_json().
  const std::string& record_prefix() const;

 private:
  class Backend;
  class Impl;
  class Joined;
  explicit Handler(std::unique_ptr<Backend> backend);
  std::unique_ptr<Backend> backend_;
};

}  // namespace log_aggregator
