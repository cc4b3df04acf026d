// The names that a log call looks up, interned once.

#pragma once

#include <array>
#include <cstddef>

#include "python/binding/reference.h"

namespace log_aggregator::python {

class LogNames {
 public:
  // False with a Python error set.
  bool load();
  PyObject* operator[](std::size_t i) const { return names_[i].get(); }

  enum : std::size_t {
    disabled,
    cache,
    name,
    filters,
    handlers,
    propagate,
    parent,
    manager,
    exc_info,
    extra,
    stack_info,
    stacklevel,
    handle,
    self,
    msg,
    level,
    is_disabled,
    tls,
    in_progress,
    kCount
  };

 private:
  std::array<Ref, kCount> names_;
};

}  // namespace log_aggregator::python
