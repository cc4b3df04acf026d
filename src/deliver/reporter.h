// Reporter tells people of records that were given up: one line for each cause in 30 s, with the
// number of those that shared its silence. Lines go to Options::report by way of the mailbox, else
// to standard error. Used by the worker only.

#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "log_aggregator/options.h"
#include "log_aggregator/stats.h"
#include "src/base/clock.h"
#include "src/deliver/mailbox.h"

namespace log_aggregator {

class Reporter {
 public:
  // Refers to all three, which must outlive it.
  Reporter(const Options& options, Mailbox& mailbox, const Clock& clock);

  // `why` is one line that is fit to be shown.
  void dropped(DropCause cause, std::uint64_t records, std::string_view why);
  // What is no drop, but people should know of; likewise one line for each in 30 s.
  enum class Note { kept, disk, damaged_orphan, left };
  void note(Note note, std::string_view text);
  // Tells in one last line of those whose reports were held back.
  void finish();

 private:
  struct Topic {
    Clock::TimePoint quiet_until{};
    std::uint64_t untold = 0;
  };

  void write(const std::string& line);

  const Options& options_;
  Mailbox& mailbox_;
  const Clock& clock_;
  std::array<Topic, kDropCauses> topics_;
  static constexpr std::size_t kNotes = 4;
  std::array<Clock::TimePoint, kNotes> notes_quiet_until_{};
};

}  // namespace log_aggregator
