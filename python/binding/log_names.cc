#include "python/binding/log_names.h"

namespace log_aggregator::python {
namespace {

constexpr const char* kNames[LogNames::kCount] = {
    "disabled", "_cache",   "name",         "filters",    "handlers",   "propagate", "parent",
    "manager",  "exc_info", "extra",        "stack_info", "stacklevel", "handle",    "self",
    "msg",      "level",    "_is_disabled", "_tls",       "in_progress"};

}  // namespace

bool LogNames::load() {
  for (std::size_t i = 0; i < kCount; ++i) {
    names_[i] = Ref::steal(PyUnicode_InternFromString(kNames[i]));
    if (!names_[i]) return false;
  }
  return true;
}

}  // namespace log_aggregator::python
