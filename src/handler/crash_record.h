// The record that tells of a crash, written without allocating: the last words of a process.

#pragma once

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "src/handler/crash_stack.h"
#include "src/journal/segment.h"

namespace log_aggregator {

// `logger_name` of crash records.
inline constexpr std::string_view kCrashLogger = "log_aggregator.crash";

// Whether a record is one of those.
bool is_crash_record(const RecordView& record);

struct Crash {
  // Null: std::terminate.
  const siginfo_t* signal = nullptr;
  // With std::terminate, what is known of the exception: its type, and text of any length.
  std::string_view exception_type{};
  std::string_view exception{};

  std::int64_t time_ns = 0;  // since 1970
  std::int64_t process = 0;
  std::int64_t thread = 0;
  std::string_view thread_name{};
  const CrashStack* stack = nullptr;
};

// "SIGSEGV"; empty for one that is no crash.
std::string_view signal_name(int signal);

// What is the same in every crash record of a handler, made beforehand: its prefix (see
// RecordWriter), the logger, the process's name.
std::string crash_record_fields(std::string_view prefix);

// What a record with such fields takes at most, its stack commonly a tenth of that.
constexpr std::size_t crash_record_room(std::size_t field_bytes) {
  return field_bytes + (48 << 10);
}

// Async-signal-safe. Writes the canonical record into `memory` and returns it; of the stack what
// fits. Empty where not even the rest does.
std::string_view write_crash_record(const Crash& crash, std::string_view fields, char* memory,
                                    std::size_t capacity);

}  // namespace log_aggregator
