// StandardLogging knows the logging of Python's standard library, and whether it is as it came.
//
// The fast paths do what logging's own functions would do, so they may only be taken where nobody
// has replaced one of those: a class-level patch, a subclass, a record factory, a switch such as
// logging.logThreads, a clock that tests have stopped. All of that may change at any moment, so it
// is looked at in each log call. Needs the interpreter lock.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "python/binding/dict_version.h"
#include "python/binding/reference.h"

namespace log_aggregator::python {

// The number of a type's present state: another one as soon as an attribute of the type or of a
// base is set. 0: it has none just now, and nothing about it may be kept.
std::uint32_t type_version(PyTypeObject* type);

// What was found out about a type, for as long as it stays as it is. A few of them, by address: a
// type that is gone takes its version with it.
template <typename Traits>
class TypeCache {
 public:
  // Null: find out, then keep().
  const Traits* find(PyTypeObject* type) const {
    const Slot& slot = slots_[place_of(type)];
    return slot.type == type && slot.version != 0 && slot.version == type_version(type)
               ? &slot.traits
               : nullptr;
  }
  const Traits& keep(PyTypeObject* type, const Traits& traits) {
    Slot& slot = slots_[place_of(type)];
    slot = {type, type_version(type), traits};
    return slot.traits;
  }

 private:
  struct Slot {
    PyTypeObject* type = nullptr;
    std::uint32_t version = 0;
    Traits traits{};
  };
  static std::size_t place_of(PyTypeObject* type) {
    return (reinterpret_cast<std::uintptr_t>(type) >> 5) % kSlots;
  }

  static constexpr std::size_t kSlots = 16;
  std::array<Slot, kSlots> slots_;
};

// Variables of a module that have to hold what they held.
class ModuleVariables {
 public:
  // False with a Python error set.
  bool open(const char* module);
  // That it holds this value; without one, what it holds now. Null with a Python error set.
  bool expect(const char* name, PyObject* value = nullptr);
  // That it holds the function of that name of a module in C: it never does where something else
  // stands there now.
  bool expect_builtin(const char* name, const char* of);
  bool hold() const { return is_version(dict_.get(), checked_version_) ? held_ : look(); }
  PyObject* dict() const { return dict_.get(); }

 private:
  struct Variable {
    Ref name;
    Ref value;
  };
  bool look() const;

  Ref dict_;
  std::vector<Variable> variables_;
  mutable std::uint64_t checked_version_ = 0;  // of the dict, when it was looked at last
  mutable bool held_ = false;
};

// What a type of loggers leaves as logging.Logger has it.
struct LoggerTraits {
  bool is_plain = false;           // its attributes are those of the instance's __dict__
  bool checks_levels = false;      // isEnabledFor
  bool logs_errors = false;        // error, which exception() calls
  bool makes_records = false;      // _log, findCaller, makeRecord
  bool hands_out_records = false;  // handle, filter, callHandlers
};

class StandardLogging {
 public:
  // Once, when the module is imported; and again by accelerate(), as some patches may be gone by
  // then. False with a Python error set.
  bool load();

  // The C functions that stand for methods of Logger, in accelerate()'s time.
  void set_own_methods(std::vector<Ref> methods) { own_methods_ = std::move(methods); }

  const LoggerTraits& logger_traits(PyTypeObject* type);
  // Whether a record made now is a LogRecord with all that logging puts into it, and its methods do
  // what they do.
  bool makes_standard_records();
  // Whether the places of log calls are found as ever.
  bool finds_callers() const { return logging_.hold(); }
  // Whether nobody has replaced the code of those functions that were found in place.
  bool functions_are_intact() const {
    for (const Function& known : functions_) {
      if (PyFunction_GET_CODE(known.function.get()) != known.code) return false;
    }
    return true;
  }
  // Whether it is a LogRecord of no subclass, whose getMessage() is as it came.
  bool is_standard_record(PyObject* record);
  // Whether it is a NullHandler, which takes no notice of records.
  bool is_null_handler(PyObject* handler);

  // Whether this logging ignores what is logged while a logger hands out a record in the same
  // thread, as some releases of 3.13 do.
  bool guards_reentry() const { return guards_reentry_; }

  // A function of logging's own source file, with that name, that refers to what is known to us.
  bool is_own_function(PyObject* object, const char* name) const;

  // logging.Logger, logging.LogRecord
  PyTypeObject* logger_type() const { return reinterpret_cast<PyTypeObject*>(logger_.get()); }
  PyTypeObject* record_type() const { return reinterpret_cast<PyTypeObject*>(record_.get()); }
  PyObject* logging_dict() const { return logging_.dict(); }
  // The name that addLevelName() has given a level; null where it is not that of a str. Borrowed.
  PyObject* level_name(PyObject* level_number, long level);
  // logging._levelToName, logging._srcfile
  PyObject* level_names() const { return level_names_.get(); }
  PyObject* source_file() const { return source_file_.get(); }

 private:
  void watch_function(PyTypeObject* type, const char* name);
  LoggerTraits examine_logger(PyTypeObject* type) const;
  bool is_standard_method(PyTypeObject* type, const char* name) const;

  ModuleVariables logging_, threading_, time_, os_;
  Ref logger_, record_, null_handler_, level_names_, source_file_;
  std::vector<Ref> own_methods_;
  bool guards_reentry_ = false;
  struct Function {
    Ref function;
    PyObject* code = nullptr;
  };
  std::vector<Function> functions_;  // of Logger and LogRecord: what is done in their place
  std::array<PyObject*, 6> standard_names_{};  // of the levels 0, 10, ... 50, borrowed
  std::uint64_t standard_names_version_ = 0;   // of the dict that they are from
  TypeCache<LoggerTraits> loggers_;
  TypeCache<bool> records_, null_handlers_;
};

}  // namespace log_aggregator::python
