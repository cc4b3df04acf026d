#include "src/handler/crash_record.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include "log_aggregator/json_writer.h"
#include "log_aggregator/record.h"
#include "src/base/time_text.h"

namespace log_aggregator {
namespace {

struct SignalName {
  int signal;
  std::string_view name;
};
constexpr std::array kSignals{SignalName{SIGSEGV, "SIGSEGV"}, SignalName{SIGBUS, "SIGBUS"},
                              SignalName{SIGFPE, "SIGFPE"}, SignalName{SIGILL, "SIGILL"},
                              SignalName{SIGABRT, "SIGABRT"}};

struct Reason {
  int signal;
  int code;
  std::string_view text;
};
constexpr std::array kReasons{Reason{SIGSEGV, SEGV_MAPERR, "address not mapped"},
                              Reason{SIGSEGV, SEGV_ACCERR, "no permission for the address"},
                              Reason{SIGSEGV, SI_KERNEL, "no valid address"},
                              Reason{SIGBUS, BUS_ADRALN, "misaligned address"},
                              Reason{SIGBUS, BUS_ADRERR, "no memory behind the address"},
                              Reason{SIGBUS, BUS_OBJERR, "hardware error"},
                              Reason{SIGFPE, FPE_INTDIV, "integer division by zero"},
                              Reason{SIGFPE, FPE_INTOVF, "integer overflow"},
                              Reason{SIGFPE, FPE_FLTDIV, "division by zero"},
                              Reason{SIGFPE, FPE_FLTOVF, "overflow"},
                              Reason{SIGFPE, FPE_FLTUND, "underflow"},
                              Reason{SIGFPE, FPE_FLTRES, "inexact result"},
                              Reason{SIGFPE, FPE_FLTINV, "invalid operation"},
                              Reason{SIGILL, ILL_ILLOPC, "illegal opcode"},
                              Reason{SIGILL, ILL_ILLOPN, "illegal operand"},
                              Reason{SIGILL, ILL_PRVOPC, "privileged opcode"}};

std::string_view reason_of(const siginfo_t& signal) {
  for (const Reason& reason : kReasons) {
    if (reason.signal == signal.si_signo && reason.code == signal.si_code) return reason.text;
  }
  return {};
}

// By kill(2), raise(3) or abort(3), and not by what the thread did.
bool was_sent(const siginfo_t& signal) { return signal.si_code <= 0; }

bool has_address(const siginfo_t& signal) {
  return !was_sent(signal) && signal.si_code != SI_KERNEL && signal.si_signo != SIGABRT;
}

std::uint64_t address_of(const siginfo_t& signal) {
  return reinterpret_cast<std::uintptr_t>(signal.si_addr);
}

// A text that an application chose may take that much.
constexpr std::size_t kMostTypeBytes = 200;
constexpr std::size_t kMostTextBytes = 8 << 10;

void write_cause(const siginfo_t& signal, std::int64_t process, FixedText& text) {
  text.append(signal_name(signal.si_signo));
  if (const std::string_view reason = reason_of(signal); !reason.empty()) {
    text.append(" (");
    text.append(reason);
    text.append(")");
  }
  if (has_address(signal)) {
    text.append(" at ");
    text.hex(address_of(signal));
  }
  if (was_sent(signal) && signal.si_pid != process) {
    text.append(" sent by process ");
    text.number(std::int64_t{signal.si_pid});
  }
}

void write_message(const Crash& crash, FixedText& text) {
  text.append("crashed: ");
  if (crash.signal != nullptr) {
    write_cause(*crash.signal, crash.process, text);
  } else if (crash.exception_type.empty()) {
    text.append("std::terminate without an exception");
  } else {
    text.append("std::terminate after ");
    text.escaped(crash.exception_type, kMostTypeBytes);
  }
  text.append(" in thread ");
  text.number(crash.thread);
  text.append(R"( \")");
  text.escaped(crash.thread_name);
  text.append(R"(\")");
}

void write_extra(const Crash& crash, FixedText& text) {
  if (crash.signal == nullptr) return;
  text.append(R"(,"extra":{"signal":")");
  text.append(signal_name(crash.signal->si_signo));
  text.append(R"(","signal_number":)");
  text.number(std::int64_t{crash.signal->si_signo});
  text.append(R"(,"code":)");
  text.number(std::int64_t{crash.signal->si_code});
  if (has_address(*crash.signal)) {
    text.append(R"(,"address":")");
    text.hex(address_of(*crash.signal));
    text.append(R"(")");
  }
  text.append("}");
}

// As many lines as fit whole, with `end` behind them.
void write_stack(const CrashStack& stack, std::string_view end, FixedText& text) {
  static std::array<char, 1024> line;  // off the stack, which may be a small one
  constexpr std::string_view kBreak = "\\n";
  for (std::size_t i = 0; i < stack.size(); ++i) {
    FixedText frame(line.data(), line.size());
    stack.write(i, frame);
    if (text.left() < 2 * frame.view().size() + kBreak.size() + end.size()) return;
    if (i > 0) text.append(kBreak);
    text.escaped(frame.view(), text.left() - end.size());
  }
}

}  // namespace

std::string_view signal_name(int signal) {
  for (const SignalName& known : kSignals) {
    if (known.signal == signal) return known.name;
  }
  return {};
}

// Without taking every record apart. In no text of a record can this stand: quotes are escaped
// there.
bool is_crash_record(const RecordView& record) {
  return record.severity == static_cast<int>(Level::critical) &&
         record.payload.find(R"("logger_name":"log_aggregator.crash")") != std::string_view::npos;
}

std::string crash_record_fields(std::string_view prefix) {
  JsonWriter json;
  json.begin_object();
  json.key("host_process");
  json.string(kCrashLogger);
  json.key("logger_name");
  json.string(kCrashLogger);
  json.key("processName");
  json.string(program_invocation_short_name);
  return std::string(prefix) + "," + std::string(json.text().substr(1));
}

std::string_view write_crash_record(const Crash& crash, std::string_view fields, char* memory,
                                    std::size_t capacity) {
  constexpr std::int64_t kNsInUs = 1000;
  std::array<char, kTimestampLength> timestamp{};
  format_timestamp(crash.time_ns / kNsInUs, timestamp.data());

  FixedText text(memory, capacity);
  text.append(R"({"timestamp":")");
  text.append({timestamp.data(), timestamp.size()});
  text.append(R"(","level":"CRITICAL","message":")");
  write_message(crash, text);
  text.append(R"(",)");
  text.append(fields);
  text.append(R"(,"process":)");
  text.number(crash.process);
  text.append(R"(,"thread":)");
  text.number(crash.thread);
  text.append(R"(,"threadName":")");
  text.escaped(crash.thread_name);
  text.append(R"(")");
  write_extra(crash, text);
  if (!crash.exception.empty()) {
    text.append(R"(,"exception":")");
    text.escaped(crash.exception, std::min(kMostTextBytes, text.left() / 2));
    text.append(R"(")");
  }
  constexpr std::string_view kEnd = R"("})";
  text.append(R"(,"stack":")");
  if (crash.stack != nullptr) write_stack(*crash.stack, kEnd, text);
  text.append(kEnd);
  return text.overflowed() ? std::string_view() : text.view();
}

}  // namespace log_aggregator
