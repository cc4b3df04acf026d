#include "python/binding/options.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "python/binding/values.h"

namespace log_aggregator::python {
namespace {

constexpr std::size_t kMaxFieldBytes = 64 << 10;

bool read_text(PyObject* value, std::string& text) {
  Py_ssize_t size = 0;
  const char* const utf8 = PyUnicode_AsUTF8AndSize(value, &size);
  if (!utf8) return false;
  text.assign(utf8, static_cast<std::size_t>(size));
  return true;
}

bool read_size(PyObject* value, std::size_t& size) {
  size = PyLong_AsSize_t(value);
  return !PyErr_Occurred();
}

bool read_count(PyObject* value, int& count) {
  const long number = PyLong_AsLong(value);
  if (PyErr_Occurred()) return false;
  count = static_cast<int>(std::clamp<long>(number, -1, 1'000'000));
  return true;
}

bool read_bool(PyObject* value, bool& flag) {
  const int truth = PyObject_IsTrue(value);
  flag = truth > 0;
  return truth >= 0;
}

template <typename Enumeration>
struct Choice {
  std::string_view name;
  Enumeration value;
};

template <typename Enumeration, std::size_t kCount>
bool read_choice(PyObject* value, const Choice<Enumeration> (&choices)[kCount],
                 Enumeration& chosen) {
  std::string text;
  if (!read_text(value, text)) return false;
  for (const auto& choice : choices) {
    if (choice.name != text) continue;
    chosen = choice.value;
    return true;
  }
  PyErr_Format(PyExc_ValueError, "unknown choice: %R", value);
  return false;
}

bool read_overflow(PyObject* value, Overflow& overflow) {
  static constexpr Choice<Overflow> kChoices[] = {{"drop_newest", Overflow::drop_newest},
                                                  {"drop_oldest", Overflow::drop_oldest},
                                                  {"block", Overflow::block}};
  return read_choice(value, kChoices, overflow);
}

bool read_compression(PyObject* value, Compression& compression) {
  static constexpr Choice<Compression> kChoices[] = {
      {"auto", Compression::automatic}, {"zstd", Compression::zstd}, {"gzip", Compression::gzip}};
  if (value != Py_None) return read_choice(value, kChoices, compression);
  compression = Compression::none;
  return true;
}

bool read_durability(PyObject* value, Durability& durability) {
  static constexpr Choice<Durability> kChoices[] = {{"process", Durability::process},
                                                    {"power", Durability::power}};
  return read_choice(value, kChoices, durability);
}

bool read_fields(PyObject* dict, std::vector<StaticField>& fields) {
  PyObject* key = nullptr;
  PyObject* value = nullptr;
  Py_ssize_t position = 0;
  while (PyDict_Next(dict, &position, &key, &value)) {
    const Ref own_value = Ref::share(value);
    StaticField field;
    if (!read_text(key, field.name)) return false;
    JsonWriter json;
    Interruption interruption;
    ValueWriter(json, interruption, kMaxFieldBytes).write(own_value.get());
    if (interruption.restore()) return false;
    field.json = json.text();
    fields.push_back(std::move(field));
  }
  return true;
}

struct Callables {
  PyObject* auth = nullptr;  // borrowed from the keyword arguments
  PyObject* report = nullptr;
};

// One line for each argument.
bool read_argument(std::string_view name, PyObject* value, Arguments& arguments,
                   Callables& callables) {
  Options& options = arguments.options;
  if (name == "api_endpoint") return read_text(value, options.api_endpoint);
  if (name == "host") return read_text(value, options.host);
  if (name == "headers") return read_headers(value, options.headers);
  if (name == "auth_ttl") return read_duration(value, options.auth_ttl);
  if (name == "timeout") return read_duration(value, options.timeout);
  if (name == "retry_attempts") return read_count(value, options.retry_attempts);
  if (name == "retry_delay") return read_duration(value, options.retry_delay);
  if (name == "verify_ssl") return read_bool(value, options.verify_ssl);
  if (name == "ca_file") return read_text(value, options.ca_file);
  if (name == "client_cert") return read_text(value, options.client_cert);
  if (name == "client_key") return read_text(value, options.client_key);
  if (name == "proxy") return read_text(value, options.proxy);
  if (name == "batch_size") return read_size(value, options.batch_size);
  if (name == "batch_bytes") return read_size(value, options.batch_bytes);
  if (name == "flush_interval") return read_duration(value, options.flush_interval);
  if (name == "compression") return read_compression(value, options.compression);
  if (name == "spool_dir") return read_text(value, options.spool_dir);
  if (name == "spool_max_bytes") return read_size(value, options.spool_max_bytes);
  if (name == "segment_bytes") return read_size(value, options.segment_bytes);
  if (name == "durability") return read_durability(value, options.durability);
  if (name == "sync_interval") return read_duration(value, options.sync_interval);
  if (name == "crash_handler") return read_bool(value, options.crash_handler);
  if (name == "queue_bytes") return read_size(value, options.queue_bytes);
  if (name == "overflow") return read_overflow(value, options.overflow);
  if (name == "block_timeout") return read_duration(value, options.block_timeout);
  if (name == "max_record_bytes") return read_size(value, options.max_record_bytes);
  if (name == "background") return read_bool(value, options.background);
  if (name == "close_timeout") return read_duration(value, options.close_timeout);
  if (name == "fields") return read_fields(value, options.fields);
  if (name == "level_map") {
    arguments.level_map = Ref::share(value);
    return true;
  }
  if (name == "auth") {
    callables.auth = value;
    return true;
  }
  if (name == "report") {
    callables.report = value;
    return true;
  }
  PyErr_Format(PyExc_TypeError, "Core() got an unexpected keyword argument");
  return false;
}

}  // namespace

bool read_duration(PyObject* seconds, std::chrono::milliseconds& duration) {
  constexpr double kMillisecondsPerSecond = 1000.0;
  constexpr double kLongest = 1e12;  // 31 years
  const double value = PyFloat_AsDouble(seconds);
  if (PyErr_Occurred()) return false;
  const double milliseconds = std::ceil(value * kMillisecondsPerSecond);
  // Also true of NaN: it becomes zero.
  const bool below = !(milliseconds > -kLongest);
  duration = std::chrono::milliseconds(
      below ? 0 : static_cast<std::int64_t>(std::min(milliseconds, kLongest)));
  return true;
}

bool read_arguments(PyObject* kwargs, Arguments& arguments) {
  Callables callables;
  PyObject* key = nullptr;
  PyObject* value = nullptr;
  Py_ssize_t position = 0;
  while (kwargs && PyDict_Next(kwargs, &position, &key, &value)) {
    std::string name;
    if (!read_text(key, name)) return false;
    // None leaves the default, but for `compression`, of which it is a value.
    if (value == Py_None && name != "compression") continue;
    if (!read_argument(name, value, arguments, callables)) return false;
  }
  auto callbacks = std::make_shared<Callbacks>(callables.auth, callables.report);
  if (callables.auth) {
    arguments.options.auth = [callbacks] { return callbacks->auth(); };
  }
  if (callables.report) {
    arguments.options.report = [callbacks](std::string_view line) { callbacks->report(line); };
  }
  arguments.callbacks = std::move(callbacks);
  return true;
}

}  // namespace log_aggregator::python
