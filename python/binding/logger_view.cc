#include "python/binding/logger_view.h"

#include <algorithm>
#include <cstddef>

#include "python/binding/dict_version.h"

namespace log_aggregator::python {
namespace {

// What an instance may have in the place of the class's.
constexpr const char* kMethods[] = {"isEnabledFor", "getEffectiveLevel", "error",  "_log",
                                    "findCaller",   "makeRecord",        "handle", "filter",
                                    "callHandlers", "_is_disabled"};

constexpr long kLevelStep = 10;

// No error is left set. Keys and dicts are those of loggers: no code is run.
PyObject* item(PyObject* dict, PyObject* key) {
  PyObject* const value = PyDict_GetItemWithError(dict, key);
  if (!value) PyErr_Clear();
  return value;
}

Enabled look_up(PyObject* cache, PyObject* level_number) {
  PyObject* const enabled = item(cache, level_number);
  if (enabled == Py_True) return Enabled::yes;
  return enabled == Py_False ? Enabled::no : Enabled::unknown;
}

}  // namespace

const LoggerView* LoggerViews::read(PyObject* logger) {
  PyObject* const dict = PyObject_GenericGetDict(logger, nullptr);
  if (!dict) {
    PyErr_Clear();
    return nullptr;
  }
  Py_DECREF(dict);  // the logger has it
  constexpr int kAlignmentBits = 4;
  const std::size_t hash = reinterpret_cast<std::uintptr_t>(dict) >> kAlignmentBits;
  LoggerView& view = views_[(hash ^ (hash >> 8)) % views_.size()];
  if (view.dict != dict || !is_version(dict, view.version)) fill(view, dict);
  if (view.cache && !is_version(view.cache, view.cache_version)) {
    view.cache_version = dict_version(view.cache);
    view.standard_levels.fill(Enabled::unknown);
  }
  return &view;
}

void LoggerViews::fill(LoggerView& view, PyObject* dict) const {
  const auto attribute = [this, dict](std::size_t name) { return item(dict, names_[name]); };
  view = {.dict = dict,
          .version = dict_version(dict),
          .has_own_methods = has_own_methods(names_, dict),
          .name = attribute(LogNames::name),
          .disabled = attribute(LogNames::disabled),
          .cache = attribute(LogNames::cache),
          .filters = attribute(LogNames::filters),
          .handlers = attribute(LogNames::handlers),
          .propagate = attribute(LogNames::propagate),
          .parent = attribute(LogNames::parent)};
  if (view.cache && !PyDict_CheckExact(view.cache)) view.cache = nullptr;
}

// Logger.__init__ sets eight attributes and Manager.getLogger() a ninth: only where there are more
// can one be a method.
bool LoggerViews::has_own_methods(const LogNames& names, PyObject* dict) {
  constexpr Py_ssize_t kOfInit = 8;
  const Py_ssize_t size = PyDict_GET_SIZE(dict);
  if (size <= kOfInit) return false;
  if (size == kOfInit + 1 && item(dict, names[LogNames::manager])) return false;
  return std::any_of(std::begin(kMethods), std::end(kMethods), [dict](const char* name) {
    return PyDict_GetItemString(dict, name) != nullptr;
  });
}

Enabled LoggerView::is_enabled(PyObject* level_number, long level) const {
  if (disabled == Py_True) return Enabled::no;
  if (disabled != Py_False || !cache) return Enabled::unknown;
  const auto place = static_cast<std::size_t>(level / kLevelStep);
  if (level < 0 || level % kLevelStep != 0 || place >= standard_levels.size()) {
    return look_up(cache, level_number);
  }
  if (standard_levels[place] == Enabled::unknown) {
    standard_levels[place] = look_up(cache, level_number);
  }
  return standard_levels[place];
}

}  // namespace log_aggregator::python
