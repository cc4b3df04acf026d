// accelerate(): methods of logging.Logger in C++.
//
// While it is on, Logger.debug() to Logger.log(), isEnabledFor() and findCaller() are C++
// functions. A log call takes one of three ways, chosen anew each time from what it finds:
//
//   fast          only our handler would see the record: it is encoded from the call's arguments,
//                 and no LogRecord is made
//   record built  others see it, too: a LogRecord is made here and given to Logger.handle()
//   fallback      anything that logging might do otherwise: the method that we stand for is called,
//                 with the same arguments
//
// The fallback is always right, the others only where nothing that they leave out was replaced
// (standard_logging.h). Needs the interpreter lock.

#pragma once

#include <array>
#include <string>

#include "python/binding/reference.h"

namespace log_aggregator::python {

struct ModuleState;

class Accelerator {
 public:
  enum Method : std::size_t {
    debug,
    info,
    warning,
    error,
    exception,
    critical,
    log,
    is_enabled_for,
    find_caller,
    kMethods
  };

  // Puts our methods in the place of those of logging.Logger that are its own. Harmless where they
  // are there already. False with a Python error set.
  bool turn_on(ModuleState& state);
  // Takes those away that are still there. Where somebody has wrapped one, it goes on as a call of
  // the original. False with a Python error set.
  bool turn_off(ModuleState& state);

  // For the methods themselves.
  bool is_on() const { return on_; }
  // The function that the method stands for. Borrowed.
  PyObject* original(Method method) const { return methods_[method].original.get(); }
  PyObject* level(Method method) const { return methods_[method].level.get(); }

 private:
  struct OwnMethod {
    Ref original;
    Ref level;       // an int; null: the caller says it
    Ref descriptor;  // ours
    PyMethodDef definition{};
    std::string documentation;
  };

  bool prepare(ModuleState& state);
  bool prepare(ModuleState& state, Method method);

  std::array<OwnMethod, kMethods> methods_;
  bool prepared_ = false;
  bool on_ = false;
};

}  // namespace log_aggregator::python
