// Where in the application a log call stands, as logging's findCaller() finds it: in the frames of
// the calling thread, those of logging itself stepped over. What a place looks like in a record is
// made once for each, and kept. Needs the interpreter lock.

#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "python/binding/reference.h"

namespace log_aggregator::python {

// What a record says of where it comes from, as it was written last: each place mostly has one
// logger and one thread.
struct Origin {
  Ref logger_name, thread_name;
  long long process = 0;
  long long thread = 0;
  std::string json;
};

// What LogRecord and the canonical record say of a place.
struct CallSite {
  // What it is found by.
  Ref code;
  int instruction = -1;
  long line = 0;

  bool is_internal = false;  // of logging, or of the import system: steps over it are not counted
  Ref filename, module, line_number;
  std::string json;       // ,"module":"shop","filename":"shop.py","funcName":"buy","lineno":7
  mutable Origin origin;  // Fragments keeps it

  PyObject* pathname() const { return code_of()->co_filename; }
  PyObject* function() const { return code_of()->co_name; }

 private:
  PyCodeObject* code_of() const { return reinterpret_cast<PyCodeObject*>(code.get()); }
};

class CallSites {
 public:
  // `source_file`: logging._srcfile. False with a Python error set.
  bool load(PyObject* source_file);

  // The place of the log call that is under way, for a method of Logger in C, which has no frame.
  // Valid until the next call. Null where it is unknown: there is no frame, or an error, which is
  // cleared where it is an Exception.
  const CallSite* find(long stacklevel = 1);
  // The same for Logger.findCaller() itself, called from a frame of logging's own.
  const CallSite* find_for_method(long stacklevel);

  // The frame of that place, counted from `frame` on, as the logging of this Python version counts;
  // null where it is unknown. Borrowed from the running thread.
  Ref find_frame(PyFrameObject* frame, long stacklevel) const;
  // The stack up to a frame, as findCaller() gives it. Null with a Python error set.
  Ref stack_text(PyObject* frame) const;
  // How often a place has taken the slot of another.
  std::uint64_t changes() const { return changes_; }

 private:
  static constexpr std::size_t kSlots = 1024;

  const CallSite* of(PyFrameObject* frame);
  bool fill(CallSite& site, PyFrameObject* frame, PyCodeObject* code, int instruction);
  bool is_internal(PyObject* filename) const;

  Ref source_file_, basename_, splitext_, string_io_, traceback_;
  std::array<CallSite, kSlots> slots_;
  std::uint64_t changes_ = 0;
};

}  // namespace log_aggregator::python
