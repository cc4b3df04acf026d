// quill for the comparison of log calls: its named arguments are fields, as ours are.

#include "bench/call_under_test.h"

#if __has_include(<quill/Backend.h>)

#include <quill/Backend.h>
#include <quill/Frontend.h>
#include <quill/LogMacros.h>
#include <quill/Logger.h>
#include <quill/sinks/Sink.h>

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

class QuillLogger final : public Logger {
 public:
  explicit QuillLogger(quill::Logger* logger) : logger_(logger) {}
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
    quill::Backend::start();
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
