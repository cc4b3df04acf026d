// The number of a dict's present state, by which what was once looked up there can be kept.
//
// Up to CPython 3.12 every change of a dict gives it another one, which no other dict ever had
// (PEP 509): address and version together stand for just this dict in just this state, without
// keeping it alive. From 3.13 on there is none that could be relied upon: attributes of instances
// change without it. Then every look-up is made anew.

#pragma once

#include <cstdint>

#include "python/binding/reference.h"

namespace log_aggregator::python {

// 0: there is none.
inline std::uint64_t dict_version([[maybe_unused]] PyObject* dict) {
#if PY_VERSION_HEX < 0x030D0000
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  return reinterpret_cast<PyDictObject*>(dict)->ma_version_tag;
#pragma GCC diagnostic pop
#else
  return 0;
#endif
}

// Whether a version noted before is still that of the dict.
inline bool is_version(PyObject* dict, std::uint64_t noted) {
  return noted != 0 && noted == dict_version(dict);
}

}  // namespace log_aggregator::python
