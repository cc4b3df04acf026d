// Keyword arguments of Core() as Options. Handler::create checks ranges; here only types matter.

#pragma once

#include <memory>

#include "log_aggregator/options.h"
#include "python/binding/callbacks.h"

namespace log_aggregator::python {

struct Arguments {
  Options options;
  std::shared_ptr<Callbacks> callbacks;
  Ref level_map;  // dict, or null
};

// False with a Python error set. Names are those of Options; durations are in seconds; `fields` is
// a dict of any values; `auth` and `report` are callables (see Callbacks) or None.
bool read_arguments(PyObject* kwargs, Arguments& arguments);

// Seconds as the whole milliseconds above, bounded so that a sum of them does not overflow.
bool read_duration(PyObject* seconds, std::chrono::milliseconds& duration);

}  // namespace log_aggregator::python
