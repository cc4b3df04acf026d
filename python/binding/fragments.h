// Fragments: parts of a canonical record that are the same in many records, encoded once and kept:
// the logger's name, the place of the log call, the thread.
//
// Each cache is a fixed number of slots; what falls into a slot that is taken replaces it, which
// bounds the memory and costs nothing to look after. A slot owns the objects it is found by, so
// that no other object can come to their addresses. Needs the interpreter lock. What is returned is
// valid until the next call.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "log_aggregator/json_writer.h"
#include "python/binding/call_site.h"
#include "python/binding/reference.h"

namespace log_aggregator::python {

// Where a log call stands, as a record tells it.
struct Place {
  PyObject* module = nullptr;
  PyObject* filename = nullptr;
  PyObject* function = nullptr;
  long long line = 0;
};

// Who has called.
struct Caller {
  long long process = 0;
  long long thread = 0;
  PyObject* thread_name = nullptr;
};

class Fragments {
 public:
  // ,"host_process":"app","logger_name":"app"
  std::string_view logger(PyObject* name);
  // ,"module":"shop","filename":"shop.py","funcName":"buy","lineno":7
  std::string_view place(const Place& place);
  // ,"process":1,"thread":2,"threadName":"MainThread"
  std::string_view caller(const Caller& caller);
  // All three, for a log call at a known place by a thread whose name is plain.
  std::string_view origin(PyObject* logger_name, const CallSite& site, const Caller& caller);

  // What these take: exact str objects of a length that is worth keeping.
  static bool is_plain(PyObject* text) {
    constexpr Py_ssize_t kLongest = 256;
    return text != nullptr && PyUnicode_CheckExact(text) && PyUnicode_GET_LENGTH(text) <= kLongest;
  }

 private:
  struct LoggerSlot {
    Ref name;
    std::string json;
  };
  struct PlaceSlot {
    Ref module, filename, function;
    long long line = 0;
    std::string json;
  };
  struct CallerSlot {
    long long process = 0;
    long long thread = 0;
    Ref name;
    std::string json;
  };

  std::array<LoggerSlot, 256> loggers_;
  std::array<PlaceSlot, 1024> places_;
  std::array<CallerSlot, 64> callers_;
  JsonWriter json_;
};

}  // namespace log_aggregator::python
