// What is logged: a level, a message, where and when, and fields of the caller's own.
//
//   handler->log(Level::info, "user logged in", field("user_id", 123), field("roles", roles));
//   handler->log(Level::error, "no order", exception(), logger("shop.orders"));
//
// Nothing here owns what it points at: it has to live until the log call returns, by which time
// the record is encoded and copied.

#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

#include "log_aggregator/export.h"
#include "log_aggregator/json_value.h"

namespace log_aggregator {

// How severe, on the scale of Python's logging. Numbers in between are levels, too.
enum class Level : int {
  trace = 5,      // each step of what the program does
  debug = 10,     // what helps to find a fault
  info = 20,      // what the program is doing, as it should
  warning = 30,   // it goes on, but somebody should look
  error = 40,     // something was not done that had to be
  critical = 50,  // the program cannot go on
};

// A place in a program's source. The texts live as long as the program, as those of __FILE__ do.
struct SourceLocation {
  const char* file = nullptr;      // null: not known
  const char* function = nullptr;  // its name without parameters; null: not known
  std::uint32_t line = 0;          // from 1; 0: not known
};

// Text that is surely there: a pointer may be null.
template <typename T>
concept IsText =
    JsonText<T> && !CustomJson<T> && !std::is_pointer_v<T> && !std::is_null_pointer_v<T>;

// An integer that is no character and has up to 64 bits.
template <typename T>
concept IsNumber = std::integral<T> && sizeof(T) <= sizeof(std::int64_t) && !Utf8Character<T> &&
                   !OtherCharacter<T>;

// A field of a record: its name, and its value as one of JSON's kinds. Made by field().
class Field {
 public:
  Field() = default;
  // Refers to `value`, unless that is a number.
  template <typename T>
  Field(std::string_view name, const T& value) : name_(name) {
    if constexpr (std::same_as<T, bool>) {
      kind_ = Kind::boolean;
      value_.boolean = value;
    } else if constexpr (IsNumber<T> && std::signed_integral<T>) {
      kind_ = Kind::integer;
      value_.integer = value;
    } else if constexpr (IsNumber<T> && std::unsigned_integral<T>) {
      kind_ = Kind::unsigned_integer;
      value_.unsigned_integer = value;
    } else if constexpr (std::same_as<T, double>) {
      kind_ = Kind::real;
      value_.real = value;
    } else if constexpr (IsText<T>) {
      text(text_of(value));
    } else {
      refer(value);
    }
  }

  std::string_view name() const { return name_; }  // as it is found in `extra`
  // Appends name and value to an object.
  LOG_AGGREGATOR_API void write(JsonWriter& json) const;

 private:
  enum class Kind : std::uint8_t { boolean, integer, unsigned_integer, real, text, other };
  using Write = void (*)(JsonWriter& json, const void* value);

  struct Text {
    const char* data;
    std::size_t size;
  };
  struct Other {
    const void* value;
    Write write;
  };

  void text(std::string_view utf8) {
    kind_ = Kind::text;
    value_.text = {utf8.data(), utf8.size()};
  }
  template <typename T>
  void refer(const T& value) {
    kind_ = Kind::other;
    value_.other = {&value, [](JsonWriter& json, const void* own) {
                      write_json(json, *static_cast<const T*>(own));
                    }};
  }

  std::string_view name_;
  Kind kind_ = Kind::integer;
  union {
    bool boolean;
    std::int64_t integer = 0;
    std::uint64_t unsigned_integer;
    double real;
    Text text;
    Other other;
  } value_;
};

// A structured field, found in the record's `extra`. json_value.h has the types it takes. Text need
// not be valid UTF-8. What cannot be written, as its own functions throw, is replaced by a text
// that says so.
template <typename T>
Field field(std::string_view name, const T& value) {
  return Field(name, value);
}

// The exception whose type, text and nested causes a record carries.
struct Exception {
  std::exception_ptr pointer;  // null: there is none
};
// By default the one that is being handled.
inline Exception exception(std::exception_ptr pointer = std::current_exception()) {
  return {std::move(pointer)};
}

// The ids of the trace that a record belongs to, as the W3C writes them: in hexadecimal digits.
struct Trace {
  std::string_view trace_id;  // 32 digits
  std::string_view span_id;   // 16 digits; empty: none
};
// For Handler::log(). A null pointer is an empty id.
template <std::convertible_to<std::string_view> TraceId,
          std::convertible_to<std::string_view> SpanId = std::string_view>
Trace trace(const TraceId& trace_id, const SpanId& span_id = {}) {
  return {text_of(trace_id), text_of(span_id)};
}

// The name of the logger, in the place of Options::logger.
struct LoggerName {
  std::string_view name;  // parts are set apart by dots
};
// For Handler::log(). A null pointer is an empty name.
template <std::convertible_to<std::string_view> Name>
LoggerName logger(const Name& name) {
  return {text_of(name)};
}

// The whole of it, for bridges from other logging libraries. Handler::log() with parts fills it in.
struct Record {
  Level level = Level::info;      // how severe
  std::string_view level_name{};  // empty: DEBUG, INFO, WARNING and so on, or "Level 25"
  std::string_view message{};     // what happened, in UTF-8
  std::string_view logger{};      // empty: Options::logger
  SourceLocation source{};        // where the call stands
  std::chrono::system_clock::time_point time{};  // 1970: now
  // As the system numbers threads (gettid(2)). 0: the calling thread, whose name is then known,
  // too.
  std::uint64_t thread = 0;
  std::string_view thread_name{};   // empty: that of the calling thread, if it is this one
  std::span<const Field> fields{};  // the caller's own
  std::exception_ptr exception{};   // null: none
  std::string_view stack{};         // one frame on each line
  Trace trace{};                    // empty ids: none
};

// A message and where the call stands.
struct Message {
  // From a text, of which a null pointer is an empty one; the place is that of the call which this
  // is an argument of.
  template <std::convertible_to<std::string_view> Text>
  Message(const Text& utf8, const char* file = __builtin_FILE(),  // NOLINT(*-explicit-constructor)
          const char* function = __builtin_FUNCTION(), std::uint32_t line = __builtin_LINE())
      : text(text_of(utf8)), source{file, function, line} {}

  std::string_view text;  // in UTF-8
  SourceLocation source;  // where it was written
};

// Collects what a log call is given beside its message.
template <std::size_t kMostFields>
class RecordParts {
 public:
  // What every record has.
  RecordParts(Level level, const Message& message) {
    record_.level = level;
    record_.message = message.text;
    record_.source = message.source;
  }

  void add(const Field& field) { fields_[count_++] = field; }  // at most kMostFields
  // Of these the last one counts.
  void add(const Exception& exception) { record_.exception = exception.pointer; }
  void add(const Trace& trace) { record_.trace = trace; }               // likewise
  void add(const LoggerName& logger) { record_.logger = logger.name; }  // likewise

  // All of it, as long as this lives.
  const Record& record() {
    record_.fields = {fields_, count_};
    return record_;
  }

 private:
  Record record_;
  Field fields_[kMostFields == 0 ? 1 : kMostFields];
  std::size_t count_ = 0;
};

// The name of the calling thread in its records from now on. Without it, the system's name of the
// thread at its first record (pthread_setname_np(3)).
LOG_AGGREGATOR_API void set_thread_name(std::string_view name);

}  // namespace log_aggregator
