// quill for the comparison of log calls: its named arguments are fields, as ours are.

#include "bench/call_under_test.h"

#if __has_include(<quill/Backend.h>)

#include <quill/Backend.h>
#include <quill/Frontend.h>
#include <quill/LogMacros.h>
#include <quill/Logger.h>
#include <quill/sinks/Sink.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <string>
#include <utility>

#include "bench/record_under_test.h"

namespace log_aggregator::bench {
namespace {

// On quill's thread.
class QuillSink final : public quill::Sink {
 public:
  explicit QuillSink(Stamps& stamps) : stamps_(stamps) {}

  void write_log(const quill::MacroMetadata*, std::uint64_t timestamp_ns, std::string_view,
                 std::string_view, const std::string&, std::string_view, quill::LogLevel,
                 std::string_view, std::string_view,
                 const std::vector<std::pair<std::string, std::string>>*, std::string_view message,
                 std::string_view) override {
    constexpr std::uint64_t kNanoseconds = 1'000;
    if (json_.write(static_cast<std::int64_t>(timestamp_ns / kNanoseconds), message, 1).empty()) {
      std::exit(1);
    }
    stamps_.add(now_ns());
  }
  void flush_sink() override {}

 private:
  Stamps& stamps_;
  RapidjsonWriter json_;
};

// Whether quill is under test; while it is not, its thread takes no core from the others.
std::atomic<bool> backend_runs = false;

void let_backend_run(bool runs) {
  backend_runs = runs;
  backend_runs.notify_one();
}

// Without waits of quill's own, which are no encoding: only one thread logs, so nothing is to be
// put in order, and a backend that sleeps would notice a record late.
quill::BackendOptions backend_options() {
  quill::BackendOptions options;
  options.log_timestamp_ordering_grace_period = std::chrono::microseconds(0);
  options.sleep_duration = std::chrono::nanoseconds(0);
  options.backend_worker_on_poll_end = [] { backend_runs.wait(false); };
  return options;
}

class QuillLogger final : public Logger {
 public:
  explicit QuillLogger(quill::Logger* logger) : logger_(logger) { let_backend_run(true); }
  ~QuillLogger() override { let_backend_run(false); }
  void log(int number) override {
    LOG_INFO(logger_, "user {user} logged in from {address} after {attempts} attempts", kUser,
             kAddress, number);
  }
  void finish() override { logger_->flush_log(); }
  bool stamps_itself() const override { return true; }

 private:
  quill::Logger* const logger_;
};

}  // namespace

// The backend ends when the process does: it cannot be started twice.
std::unique_ptr<Logger> make_quill_logger(Stamps& stamps) {
  static quill::Logger* const logger = [&stamps] {
    quill::Backend::start(backend_options());
    std::atexit([] { let_backend_run(true); });  // it is waited for
    quill::Frontend::preallocate();
    return quill::Frontend::create_or_get_logger(
        "bench", quill::Frontend::create_or_get_sink<QuillSink>("bench", stamps));
  }();
  return std::make_unique<QuillLogger>(logger);
}

}  // namespace log_aggregator::bench

#else

namespace log_aggregator::bench {
std::unique_ptr<Logger> make_quill_logger(Stamps&) { return nullptr; }
}  // namespace log_aggregator::bench

#endif
