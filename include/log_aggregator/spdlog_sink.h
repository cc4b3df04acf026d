// A sink for spdlog: what a program logs through spdlog is shipped by a Handler.
//
//   log_aggregator::Options options;
//   options.api_endpoint = "http://127.0.0.1:8080/api/logs";
//   spdlog::logger logger("app", std::make_shared<log_aggregator::spdlog_sink_mt>(options));
//   logger.info("user {} logged in", 123);
//
// Compiled where it is included, against the program's own spdlog: 1.10 or newer, header-only or
// compiled, with its own fmt, another one or std::format. The library itself knows nothing of it.
//
// A record is what the message was formatted to, its level, time, thread and place, and the name
// of the logger. Entries of spdlog's MDC become fields, where spdlog has it (1.14). They are those
// of the thread that runs the sink: under an asynchronous logger that is spdlog's own.
//
// Sinks, loggers and the program itself may share a Handler, and the sink may be used from any
// thread: handing a record over takes no lock of the sink's. Nothing is thrown into the program
// but by constructors. What does not arrive is counted in handler()->stats() and reported.
//
// The last owner of the Handler closes it, which waits for at most Options::close_timeout; so does
// handler()->close(). spdlog::shutdown() lets go of the loggers that spdlog knows.

#pragma once

#include <spdlog/common.h>
#include <spdlog/details/log_msg.h>
#include <spdlog/details/null_mutex.h>
#include <spdlog/details/os.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/sink.h>
#include <spdlog/spdlog.h>
#include <spdlog/version.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "log_aggregator/handler.h"

#if SPDLOG_VERSION >= 11400 && !defined(SPDLOG_NO_TLS)
#define LOG_AGGREGATOR_SPDLOG_HAS_MDC
#include <spdlog/mdc.h>

#include <vector>
#endif

namespace log_aggregator {

// `Mutex` guards the formatter, so it is locked only where formatting is enabled; a child that is
// forked meanwhile finds it locked for ever.
template <typename Mutex>
class spdlog_sink final : public spdlog::sinks::sink {
 public:
  // With a Handler of its own. Throws spdlog::spdlog_ex, which says what is wrong, where
  // Handler::create() fails.
  //
  // With `enable_formatting` the message is what the pattern makes of it, spdlog's default until
  // another one is set. Without, it is the text alone, which costs least, and patterns are ignored:
  // spdlog sets one for every logger it makes, and what they add is in the record's own fields.
  explicit spdlog_sink(Options options, bool enable_formatting = false)
      : spdlog_sink(make_handler(std::move(options)), enable_formatting) {}
  // With one that is shared. Throws spdlog::spdlog_ex where it is null.
  explicit spdlog_sink(std::shared_ptr<Handler> handler, bool enable_formatting = false)
      : handler_(std::move(handler)), formats_(enable_formatting) {
    if (handler_ == nullptr) spdlog::throw_spdlog_ex("log_aggregator: there is no handler");
    if (formats_) formatter_ = std::make_unique<spdlog::pattern_formatter>();
  }

  // The handler that it logs through, for its stats() and for records with fields.
  const std::shared_ptr<Handler>& handler() const { return handler_; }

  // How long flush() may wait until what was logged has been delivered. 0, the default: it only
  // asks for sending now, so that flush_on() and flush_every() do not hold the program up.
  void set_flush_timeout(std::chrono::milliseconds timeout) { flush_timeout_ = timeout; }

  void log(const spdlog::details::log_msg& message) override {
    Record record = record_of(message);
    if (!formats_) return add_context_and_log(record);
    spdlog::memory_buf_t text;
    // A message whose pattern fails is logged as it is.
    if (caught_nothing([&] { format(message, text); })) {
      record.message = without_end_of_line({text.data(), text.size()});
    }
    add_context_and_log(record);
  }

  // Asks for sending now, and waits as set_flush_timeout() says.
  void flush() override { handler_->flush(flush_timeout_); }

  // Without effect where formatting is off.
  void set_pattern(const std::string& pattern) override {
    set_formatter(std::make_unique<spdlog::pattern_formatter>(pattern));
  }
  // Likewise. Null changes nothing.
  void set_formatter(std::unique_ptr<spdlog::formatter> formatter) override {
    if (formatter == nullptr) return;
    const std::lock_guard<Mutex> lock(mutex_);
    formatter_ = std::move(formatter);
  }

 private:
  static std::shared_ptr<Handler> make_handler(Options options) {
    auto made = Handler::create(std::move(options));
    if (!made.ok()) spdlog::throw_spdlog_ex("log_aggregator: " + made.status().message());
    return std::move(made.value());
  }

  static Record record_of(const spdlog::details::log_msg& message) {
    Record record;
    record.level = level_of(message.level);
    record.message = {message.payload.data(), message.payload.size()};
    record.logger = {message.logger_name.data(), message.logger_name.size()};
    if (!message.source.empty()) {
      record.source = {message.source.filename, message.source.funcname,
                       static_cast<std::uint32_t>(message.source.line)};
    }
    record.time = message.time;
    record.thread = thread_of(message);
    return record;
  }

  static Level level_of(spdlog::level::level_enum level) {
    switch (level) {
      case spdlog::level::trace:
        return Level::trace;
      case spdlog::level::debug:
        return Level::debug;
      case spdlog::level::info:
        return Level::info;
      case spdlog::level::warn:
        return Level::warning;
      case spdlog::level::err:
        return Level::error;
      default:  // critical, and `off`, which as the level of a message is above all others
        return Level::critical;
    }
  }

  // 0 for the calling thread, whose number the handler knows better: in a forked child spdlog goes
  // on with that of the parent's thread.
  static std::uint64_t thread_of(const spdlog::details::log_msg& message) {
#ifndef SPDLOG_NO_TLS
    if (message.thread_id == spdlog::details::os::thread_id()) return 0;
#endif
    return message.thread_id;
  }

  static std::string_view without_end_of_line(std::string_view text) {
    if (text.ends_with('\n')) text.remove_suffix(1);
    if (text.ends_with('\r')) text.remove_suffix(1);
    return text;
  }

  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& text) {
    const std::lock_guard<Mutex> lock(mutex_);
    formatter_->format(message, text);
  }

  // Whether `function` has thrown nothing, whatever it may be.
  template <typename Function>
  static bool caught_nothing(const Function& function) {
#ifdef SPDLOG_NO_EXCEPTIONS
    function();
    return true;
#else
    try {
      function();
      return true;
    } catch (...) {
      return false;
    }
#endif
  }

#ifdef LOG_AGGREGATOR_SPDLOG_HAS_MDC
  // Null where the calling thread ends and spdlog's context of it may be gone: what this function
  // makes after it is gone before it.
  static const spdlog::mdc::mdc_map_t* context() {
    thread_local bool gone = false;
    if (gone) return nullptr;
    const spdlog::mdc::mdc_map_t& of_thread = spdlog::mdc::get_context();
    struct End {
      ~End() { gone = true; }
    };
    thread_local End end;
    static_cast<void>(&end);
    return &of_thread;
  }
#endif

  void add_context_and_log(Record& record) {
#ifdef LOG_AGGREGATOR_SPDLOG_HAS_MDC
    const auto* const entries = context();
    if (entries != nullptr && !entries->empty()) {
      std::vector<Field> fields;
      // Where there is no memory for them the record goes without.
      static_cast<void>(caught_nothing([&] {
        fields.reserve(entries->size());
        for (const auto& [name, value] : *entries) fields.emplace_back(name, value);
      }));
      record.fields = fields;
      handler_->log(record);
      return;
    }
#endif
    handler_->log(record);
  }

  const std::shared_ptr<Handler> handler_;
  const bool formats_;
  std::atomic<std::chrono::milliseconds> flush_timeout_{std::chrono::milliseconds(0)};

  Mutex mutex_;
  std::unique_ptr<spdlog::formatter> formatter_;  // guarded by mutex_; null where none is enabled
};

// For loggers that any thread may use.
using spdlog_sink_mt = spdlog_sink<std::mutex>;
// For loggers of one thread.
using spdlog_sink_st = spdlog_sink<spdlog::details::null_mutex>;

// A logger with a sink of its own, made and registered as spdlog's own functions do. `Factory` is
// spdlog::synchronous_factory or spdlog::async_factory.
template <typename Factory = spdlog::synchronous_factory>
std::shared_ptr<spdlog::logger> spdlog_logger_mt(const std::string& name, Options options,
                                                 bool enable_formatting = false) {
  return Factory::template create<spdlog_sink_mt>(name, std::move(options), enable_formatting);
}
// For one thread.
template <typename Factory = spdlog::synchronous_factory>
std::shared_ptr<spdlog::logger> spdlog_logger_st(const std::string& name, Options options,
                                                 bool enable_formatting = false) {
  return Factory::template create<spdlog_sink_st>(name, std::move(options), enable_formatting);
}

}  // namespace log_aggregator
