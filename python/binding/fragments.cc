#include "python/binding/fragments.h"

#include <cstring>

#include "python/binding/text.h"

namespace log_aggregator::python {
namespace {

std::size_t hash_of(const void* pointer) {
  constexpr int kAlignmentBits = 4;
  return reinterpret_cast<std::uintptr_t>(pointer) >> kAlignmentBits;
}

// Whether two exact str objects are equal. Records have new ones of the same text again and again.
bool equal(PyObject* left, PyObject* right) {
  if (left == right) return true;
  if (!left || PyUnicode_GET_LENGTH(left) != PyUnicode_GET_LENGTH(right) ||
      PyUnicode_KIND(left) != PyUnicode_KIND(right)) {
    return false;
  }
  const auto bytes = static_cast<std::size_t>(PyUnicode_GET_LENGTH(left)) *
                     static_cast<std::size_t>(PyUnicode_KIND(left));
  return std::memcmp(PyUnicode_DATA(left), PyUnicode_DATA(right), bytes) == 0;
}

std::string fields_of(const JsonWriter& json) { return ',' + std::string(json.text()); }

}  // namespace

std::string_view Fragments::logger(PyObject* name) {
  LoggerSlot& slot = loggers_[hash_of(name) % loggers_.size()];
  if (slot.name.get() == name) return slot.json;
  json_.clear();
  const Utf8 utf8(name);
  json_.key("host_process");
  json_.string(utf8.view());
  json_.key("logger_name");
  json_.string(utf8.view());
  slot.json = fields_of(json_);
  slot.name = Ref::share(name);
  return slot.json;
}

std::string_view Fragments::place(const Place& place) {
  // The function's name comes from the code object and lives on, as the file's does not.
  const std::size_t hash = hash_of(place.function) * 31 + static_cast<std::size_t>(place.line);
  PlaceSlot& slot = places_[hash % places_.size()];
  if (slot.line == place.line && equal(slot.function.get(), place.function) &&
      equal(slot.filename.get(), place.filename) && equal(slot.module.get(), place.module)) {
    return slot.json;
  }
  json_.clear();
  const auto text = [this](std::string_view name, PyObject* value) {
    json_.key(name);
    json_.string(Utf8(value).view());
  };
  text("module", place.module);
  text("filename", place.filename);
  text("funcName", place.function);
  json_.key("lineno");
  json_.integer(place.line);
  slot.json = fields_of(json_);
  slot.module = Ref::share(place.module);
  slot.filename = Ref::share(place.filename);
  slot.function = Ref::share(place.function);
  slot.line = place.line;
  return slot.json;
}

std::string_view Fragments::caller(const Caller& caller) {
  // Threads' numbers are addresses, far from each other.
  constexpr int kUnchangingBits = 12;
  const auto hash = static_cast<std::size_t>(caller.thread) >> kUnchangingBits;
  CallerSlot& slot = callers_[(hash ^ (hash >> 8)) % callers_.size()];
  if (slot.thread == caller.thread && slot.process == caller.process &&
      equal(slot.name.get(), caller.thread_name)) {
    return slot.json;
  }
  json_.clear();
  json_.key("process");
  json_.integer(caller.process);
  json_.key("thread");
  json_.integer(caller.thread);
  json_.key("threadName");
  json_.string(Utf8(caller.thread_name).view());
  slot.json = fields_of(json_);
  slot.process = caller.process;
  slot.thread = caller.thread;
  slot.name = Ref::share(caller.thread_name);
  return slot.json;
}

std::string_view Fragments::origin(PyObject* logger_name, const CallSite& site,
                                   const Caller& caller) {
  Origin& origin = site.origin;
  if (origin.logger_name.get() == logger_name && origin.thread == caller.thread &&
      origin.process == caller.process && equal(origin.thread_name.get(), caller.thread_name)) {
    return origin.json;
  }
  origin.logger_name = {};  // half of it is nothing
  origin.json = logger(logger_name);
  origin.json += site.json;
  origin.json += this->caller(caller);
  origin.process = caller.process;
  origin.thread = caller.thread;
  origin.thread_name = Ref::share(caller.thread_name);
  origin.logger_name = Ref::share(logger_name);
  return origin.json;
}

}  // namespace log_aggregator::python
