#include "src/deliver/reporter.h"

#include <unistd.h>

#include <chrono>

namespace log_aggregator {
namespace {

constexpr std::chrono::seconds kQuiet{30};
constexpr std::string_view kWho = "log-aggregator-handler: ";

std::string count_of_records(std::uint64_t records) {
  return std::to_string(records) + (records == 1 ? " record" : " records");
}

void write_to_standard_error(const std::string& line) {
  const std::string text = line + '\n';
  // Nobody is left to tell where this fails.
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
}

}  // namespace

Reporter::Reporter(const Options& options, Mailbox& mailbox, const Clock& clock)
    : options_(options), mailbox_(mailbox), clock_(clock) {}

void Reporter::dropped(DropCause cause, std::uint64_t records, std::string_view why) {
  Topic& topic = topics_[static_cast<std::size_t>(cause)];
  const auto now = clock_.now();
  if (now < topic.quiet_until) {
    topic.untold += records;
    return;
  }
  std::string line(kWho);
  line += count_of_records(records) + " dropped (";
  line += drop_cause_name(cause);
  line += "): ";
  line += why;
  if (topic.untold > 0) line += "; " + std::to_string(topic.untold) + " more since the last report";
  topic = {now + kQuiet, 0};
  write(line);
}

void Reporter::note(Note note, std::string_view text) {
  Clock::TimePoint& quiet_until = notes_quiet_until_[static_cast<std::size_t>(note)];
  const auto now = clock_.now();
  if (now < quiet_until) return;
  quiet_until = now + kQuiet;
  write(std::string(kWho).append(text));
}

void Reporter::finish() {
  std::uint64_t total = 0;
  std::string causes;
  for (std::size_t i = 0; i < kDropCauses; ++i) {
    if (topics_[i].untold == 0) continue;
    total += topics_[i].untold;
    if (!causes.empty()) causes += ", ";
    causes += std::to_string(topics_[i].untold) + " ";
    causes += drop_cause_name(static_cast<DropCause>(i));
    topics_[i].untold = 0;
  }
  if (total == 0) return;
  write(std::string(kWho) + count_of_records(total) + " dropped since the last reports: " + causes);
}

void Reporter::write(const std::string& line) {
  const auto report = [&] {
    try {
      options_.report(line);
    } catch (...) {
      write_to_standard_error(line);
    }
  };
  if (options_.report && mailbox_.run(report)) return;
  write_to_standard_error(line);
}

}  // namespace log_aggregator
