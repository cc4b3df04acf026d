#include "python/binding/record.h"

#include <algorithm>
#include <chrono>
#include <climits>
#include <cmath>

#include "python/binding/message.h"
#include "python/binding/module_state.h"
#include "python/binding/values.h"

namespace log_aggregator::python {
namespace {

struct StandardName {
  const char* name;
  Attribute attribute;
};

// Every attribute that logging itself sets: all others are extras.
constexpr StandardName kStandardNames[] = {
    {"name", Attribute::name},
    {"msg", Attribute::msg},
    {"args", Attribute::args},
    {"levelname", Attribute::levelname},
    {"levelno", Attribute::levelno},
    {"pathname", Attribute::unread},
    {"filename", Attribute::filename},
    {"module", Attribute::module},
    {"exc_info", Attribute::exc_info},
    {"exc_text", Attribute::exc_text},
    {"stack_info", Attribute::stack_info},
    {"lineno", Attribute::lineno},
    {"funcName", Attribute::funcName},
    {"created", Attribute::created},
    {"msecs", Attribute::unread},
    {"relativeCreated", Attribute::unread},
    {"thread", Attribute::thread},
    {"threadName", Attribute::threadName},
    {"processName", Attribute::processName},
    {"process", Attribute::process},
    {"taskName", Attribute::taskName},
    {"message", Attribute::unread},
    {"asctime", Attribute::unread},
};

Ref attribute_of(PyObject* object, const char* name, Interruption& interruption) {
  Ref value = Ref::steal(PyObject_GetAttrString(object, name));
  if (!value) interruption.take();
  return value;
}

void write_text(RecordWriter& writer, std::string_view name, PyObject* value,
                Interruption& interruption) {
  if (!value || value == Py_None) return writer.field(name, std::string_view());
  if (PyUnicode_Check(value)) return writer.field(name, Utf8(value).view());
  writer.field(name, str_of(value, interruption));
}

void write_number(RecordWriter& writer, std::string_view name, PyObject* value,
                  Interruption& interruption) {
  int overflow = 1;
  long long number = 0;
  if (value && PyLong_Check(value)) number = PyLong_AsLongLongAndOverflow(value, &overflow);
  if (overflow == 0) return writer.field(name, static_cast<std::int64_t>(number));
  if (!value || !(PyLong_Check(value) || PyFloat_Check(value))) {
    return writer.field(name, std::int64_t{0});
  }
  writer.json().key(name);
  ValueWriter(writer.json(), interruption, writer.json().size() + 64).write(value);
}

// False for what is no int of 64 bits.
bool read_int(PyObject* value, long long& number) {
  if (!value || !PyLong_CheckExact(value)) return false;
  int overflow = 0;
  number = PyLong_AsLongLongAndOverflow(value, &overflow);
  return overflow == 0;
}

// logging takes True, an exception or a tuple, and makes a tuple of it; whoever makes records by
// hand may not. Null where there is no exception.
Ref exception_tuple(PyObject* exc_info) {
  if (PyExceptionInstance_Check(exc_info)) {
    const Ref traceback = Ref::steal(PyException_GetTraceback(exc_info));
    return Ref::steal(PyTuple_Pack(3, reinterpret_cast<PyObject*>(Py_TYPE(exc_info)), exc_info,
                                   traceback ? traceback.get() : Py_None));
  }
  if (!PyTuple_Check(exc_info) || PyTuple_GET_SIZE(exc_info) != 3) return {};
  if (PyTuple_GET_ITEM(exc_info, 0) == Py_None) return {};
  return Ref::share(exc_info);
}

// Any object with a format() is a formatter to logging: not all of them format exceptions.
Ref format_exception(PyObject* formatter, PyObject* default_formatter, PyObject* exc_info,
                     Interruption& interruption) {
  if (formatter != Py_None) {
    Ref text = Ref::steal(PyObject_CallMethod(formatter, "formatException", "(O)", exc_info));
    if (text) return text;
    interruption.take();
  }
  return Ref::steal(PyObject_CallMethod(default_formatter, "formatException", "(O)", exc_info));
}

// What the formatter's formatException() would say, where it is logging's own.
bool write_standard_traceback(RecordWriter& writer, PyObject* formatter, PyObject* exc_info,
                              TracebackFormatter& tracebacks, Interruption& interruption) {
  std::string text;
  if (formatter != Py_None && !tracebacks.stands_for(formatter, interruption)) return false;
  if (!tracebacks.format(exc_info, text, interruption)) return false;
  writer.exception(text);
  return true;
}

void write_stack(RecordWriter& writer, PyObject* stack_info, Interruption& interruption) {
  if (!stack_info || stack_info == Py_None) return;
  if (!PyUnicode_Check(stack_info)) return writer.stack(str_of(stack_info, interruption));
  if (PyUnicode_GET_LENGTH(stack_info) > 0) writer.stack(Utf8(stack_info).view());
}

std::size_t safe_end(std::size_t max_record_bytes) {
  return max_record_bytes - std::min(ValueWriter::kOverrun, max_record_bytes / 2);
}

std::int64_t now_microseconds() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::microseconds>(now).count();
}

double round_half_even(double value) {
  const double rounded = std::round(value);
  return std::fabs(value - rounded) == 0.5 ? 2.0 * std::round(value / 2.0) : rounded;
}

}  // namespace

bool AttributeTable::load() {
  numbers_ = Ref::steal(PyDict_New());
  if (!numbers_) return false;
  for (const StandardName& standard : kStandardNames) {
    const Ref name = Ref::steal(PyUnicode_InternFromString(standard.name));
    const Ref number = Ref::steal(PyLong_FromLong(static_cast<long>(standard.attribute)));
    if (!name || !number) return false;
    if (PyDict_SetItem(numbers_.get(), name.get(), number.get()) < 0) return false;
  }
  get_message_ = Ref::steal(PyUnicode_InternFromString("getMessage"));
  const Ref logging = get_message_ ? Ref::steal(PyImport_ImportModule("logging")) : Ref();
  if (!logging) return false;
  default_formatter_ = Ref::steal(PyObject_CallMethod(logging.get(), "Formatter", nullptr));
  return static_cast<bool>(default_formatter_);
}

AttributeTable::ExtraKey& AttributeTable::slot_of(PyObject* name) {
  constexpr int kAlignmentBits = 4;
  const std::size_t hash = reinterpret_cast<std::uintptr_t>(name) >> kAlignmentBits;
  return extras_[(hash ^ (hash >> 8)) % extras_.size()];
}

bool AttributeTable::is_extra(PyObject* name) {
  return slot_of(name).name.get() == name || find(name, SIZE_MAX) == Attribute::extra;
}

std::string_view AttributeTable::extra_key(PyObject* name) {
  ExtraKey& slot = slot_of(name);
  if (slot.name.get() == name) return slot.json;
  if (!is_plain_key(name)) return {};
  JsonWriter json;
  json.key(Utf8(name).view());
  slot.name = {};
  slot.json = json.text();
  slot.name = Ref::share(name);
  return slot.json;
}

Attribute AttributeTable::find(PyObject* name, std::size_t position) {
  if (position < seen_.size() && seen_[position].name == name) return seen_[position].attribute;
  PyObject* const number = PyDict_GetItemWithError(numbers_.get(), name);
  if (!number) {
    PyErr_Clear();
    return Attribute::extra;
  }
  const auto attribute = static_cast<Attribute>(PyLong_AsLong(number));
  // Only the interned name is certain to live on.
  if (position < seen_.size() && PyUnicode_CHECK_INTERNED(name)) {
    seen_[position] = {name, attribute};
  }
  return attribute;
}

// What a record held when it was read: own references, as the code that is run to write one value
// may change the record.
struct RecordEncoder::Attributes {
  std::array<Ref, kReadAttributes> standard;
  std::vector<std::pair<Ref, Ref>> extra;

  PyObject* get(Attribute attribute) const {
    return standard[static_cast<std::size_t>(attribute)].get();
  }
  void set(Attribute attribute, PyObject* value) {
    standard[static_cast<std::size_t>(attribute)] = Ref::share(value);
  }
};

RecordEncoder::Attributes RecordEncoder::read_attributes(PyObject* record,
                                                         Interruption& interruption) const {
  Attributes attributes;
  const Ref dict = Ref::steal(PyObject_GenericGetDict(record, nullptr));
  if (!dict) interruption.take();
  PyObject* key = nullptr;
  PyObject* value = nullptr;
  Py_ssize_t at = 0;
  for (std::size_t position = 0; dict && PyDict_Next(dict.get(), &at, &key, &value); ++position) {
    const Attribute attribute = state_.attributes.find(key, position);
    if (attribute == Attribute::unread) continue;
    if (attribute == Attribute::extra) {
      attributes.extra.emplace_back(Ref::share(key), Ref::share(value));
    } else {
      attributes.set(attribute, value);
    }
  }
  // Records of a factory may hold attributes elsewhere than in their __dict__.
  for (const StandardName& standard : kStandardNames) {
    if (standard.attribute == Attribute::unread || standard.attribute == Attribute::taskName) {
      continue;
    }
    Ref& slot = attributes.standard[static_cast<std::size_t>(standard.attribute)];
    if (!slot) slot = attribute_of(record, standard.name, interruption);
  }
  return attributes;
}

int RecordEncoder::write(RecordWriter& writer, PyObject* record, PyObject* message,
                         PyObject* formatter, Interruption& interruption,
                         std::optional<SavedError>& error) const {
  const Attributes attributes = read_attributes(record, interruption);
  begin(writer, microseconds_of(attributes.get(Attribute::created), interruption),
        attributes.get(Attribute::levelname), attributes.get(Attribute::levelno), interruption);
  write_message(writer, record, attributes, message, interruption, error);
  return write_rest(writer, attributes, formatter, interruption);
}

int RecordEncoder::write_unformatted(RecordWriter& writer, PyObject* record, PyObject* error,
                                     Interruption& interruption) const {
  const Attributes attributes = read_attributes(record, interruption);
  begin(writer, microseconds_of(attributes.get(Attribute::created), interruption),
        attributes.get(Attribute::levelname), attributes.get(Attribute::levelno), interruption);
  writer.message(unformatted_message(record, error, interruption));
  return write_rest(writer, attributes, Py_None, interruption);
}

void RecordEncoder::begin(RecordWriter& writer, std::int64_t unix_microseconds,
                          PyObject* level_name, PyObject* level_number,
                          Interruption& interruption) const {
  Ref mapped;
  if (level_map_ && level_number && PyLong_Check(level_number)) {
    mapped = Ref::share(PyDict_GetItemWithError(level_map_, level_number));
  }
  if (level_map_ && !mapped && level_name && PyUnicode_Check(level_name)) {
    const Ref upper = Ref::steal(PyObject_CallMethod(level_name, "upper", nullptr));
    if (upper) mapped = Ref::share(PyDict_GetItemWithError(level_map_, upper.get()));
  }
  if (level_map_ && PyErr_Occurred()) interruption.take();
  PyObject* const level = mapped ? mapped.get() : level_name;
  if (level && PyUnicode_Check(level)) {
    return writer.begin(unix_microseconds, Utf8(level).view());
  }
  writer.begin(unix_microseconds, level ? str_of(level, interruption) : std::string());
}

void RecordEncoder::write_message(RecordWriter& writer, PyObject* record,
                                  const Attributes& attributes, PyObject* message,
                                  Interruption& interruption,
                                  std::optional<SavedError>& error) const {
  Message parts;
  if (!message && state_.logging.is_standard_record(record) &&
      read_message(attributes.get(Attribute::msg), attributes.get(Attribute::args), parts)) {
    if (state_.messages.write(writer, parts)) return;
  } else {
    const Ref text = message ? Ref::share(message) : state_.attributes.message_of(record);
    if (text && PyUnicode_Check(text.get())) return writer.message(Utf8(text.get()).view());
    if (text) return writer.message(str_of(text.get(), interruption));
  }
  error.emplace();
  writer.message(unformatted_message(record, error->value(), interruption));
}

int RecordEncoder::write_rest(RecordWriter& writer, const Attributes& attributes,
                              PyObject* formatter, Interruption& interruption) const {
  write_names(writer, attributes, interruption);
  write_process_and_task(writer, attributes.get(Attribute::processName),
                         attributes.get(Attribute::taskName), interruption);
  PyObject* const ready = attributes.get(Attribute::exc_text);
  if (ready && PyUnicode_Check(ready) && PyUnicode_GET_LENGTH(ready) > 0) {
    writer.exception(Utf8(ready).view());
  } else if (PyObject* const exc_info = attributes.get(Attribute::exc_info)) {
    write_exception(writer, exc_info, formatter, interruption);
  }
  write_stack(writer, attributes.get(Attribute::stack_info), interruption);
  write_extra(writer, attributes.extra, interruption);
  return severity_of(attributes.get(Attribute::levelno), interruption);
}

// The usual ones are kept encoded.
void RecordEncoder::write_names(RecordWriter& writer, const Attributes& attributes,
                                Interruption& interruption) const {
  const auto text = [&](std::string_view name, Attribute attribute) {
    write_text(writer, name, attributes.get(attribute), interruption);
  };
  const auto number = [&](std::string_view name, Attribute attribute) {
    write_number(writer, name, attributes.get(attribute), interruption);
  };
  Fragments& fragments = state_.fragments;

  PyObject* const name = attributes.get(Attribute::name);
  if (Fragments::is_plain(name)) {
    writer.fields(fragments.logger(name));
  } else {
    text("host_process", Attribute::name);
    text("logger_name", Attribute::name);
  }

  Place place{.module = attributes.get(Attribute::module),
              .filename = attributes.get(Attribute::filename),
              .function = attributes.get(Attribute::funcName)};
  if (Fragments::is_plain(place.module) && Fragments::is_plain(place.filename) &&
      Fragments::is_plain(place.function) &&
      read_int(attributes.get(Attribute::lineno), place.line)) {
    writer.fields(fragments.place(place));
  } else {
    text("module", Attribute::module);
    text("filename", Attribute::filename);
    text("funcName", Attribute::funcName);
    number("lineno", Attribute::lineno);
  }

  Caller caller{.thread_name = attributes.get(Attribute::threadName)};
  if (Fragments::is_plain(caller.thread_name) &&
      read_int(attributes.get(Attribute::process), caller.process) &&
      read_int(attributes.get(Attribute::thread), caller.thread)) {
    writer.fields(fragments.caller(caller));
  } else {
    number("process", Attribute::process);
    number("thread", Attribute::thread);
    text("threadName", Attribute::threadName);
  }
}

void RecordEncoder::write_exception(RecordWriter& writer, PyObject* exc_info, PyObject* formatter,
                                    Interruption& interruption) const {
  if (exc_info == Py_None) return;
  const Ref tuple = exception_tuple(exc_info);
  if (PyErr_Occurred()) interruption.take();
  if (!tuple) return;
  if (write_standard_traceback(writer, formatter, tuple.get(), state_.attributes.tracebacks(),
                               interruption)) {
    return;
  }
  const Ref text =
      format_exception(formatter, state_.attributes.default_formatter(), tuple.get(), interruption);
  if (text && PyUnicode_Check(text.get())) return writer.exception(Utf8(text.get()).view());
  if (!text) return writer.exception(unprintable(PyTuple_GET_ITEM(tuple.get(), 1), interruption));
  writer.exception(str_of(text.get(), interruption));
}

// Extras have what the record still has room for, and half a record at least: a long message is cut
// in their favour, and a long extra never at the expense of the message.
void RecordEncoder::write_extra(RecordWriter& writer, std::span<const std::pair<Ref, Ref>> extra,
                                Interruption& interruption) const {
  if (extra.empty()) return;
  writer.begin_extra();
  const std::size_t half = writer.json().size() + safe_end(max_record_bytes_ / 2);
  const std::size_t end = std::max(safe_end(max_record_bytes_), half);
  const bool distinct = std::all_of(
      extra.begin(), extra.end(), [](const auto& item) { return is_plain_key(item.first.get()); });
  ObjectKeys keys(writer.json(), interruption, distinct);
  ValueWriter values(writer.json(), interruption, end);
  for (const auto& [key, value] : extra) {
    if (writer.json().size() >= end) {
      keys.write_cut();
      break;
    }
    keys.write(key.get());
    values.write(value.get());
  }
  writer.end_extra();
}

void write_process_and_task(RecordWriter& writer, PyObject* process_name, PyObject* task_name,
                            Interruption& interruption) {
  if (process_name && process_name != Py_None &&
      !(PyUnicode_Check(process_name) &&
        PyUnicode_CompareWithASCIIString(process_name, "MainProcess") == 0)) {
    write_text(writer, "processName", process_name, interruption);
  }
  if (task_name && task_name != Py_None) write_text(writer, "taskName", task_name, interruption);
}

void RecordEncoder::write_custom(RecordWriter& writer, PyObject* dict,
                                 Interruption& interruption) const {
  writer.reset();
  ValueWriter(writer.json(), interruption, safe_end(max_record_bytes_)).write(dict);
}

int severity_of(PyObject* levelno, Interruption& interruption) {
  if (!levelno || !PyLong_Check(levelno)) return 0;
  int overflow = 0;
  const long severity = PyLong_AsLongAndOverflow(levelno, &overflow);
  if (PyErr_Occurred()) interruption.take();
  if (overflow != 0) return overflow > 0 ? INT_MAX : INT_MIN;
  return static_cast<int>(std::clamp<long>(severity, INT_MIN, INT_MAX));
}

std::string unformatted_message(PyObject* record, PyObject* error, Interruption& interruption) {
  const Ref msg = attribute_of(record, "msg", interruption);
  const Ref args = attribute_of(record, "args", interruption);
  std::string text;
  if (msg) text += str_of(msg.get(), interruption);
  text += " [not formatted: ";
  text += short_type_name(Py_TYPE(error));
  text += ": ";
  text += str_of(error, interruption);
  text += "; args: ";
  if (args) text += repr_of(args.get(), interruption);
  text += ']';
  return text;
}

std::int64_t microseconds_of(PyObject* created, Interruption& interruption) {
  constexpr double kFirstSecond = -62'135'596'800.0;  // 0001-01-01
  constexpr double kEnd = 253'402'300'800.0;          // 10000-01-01
  constexpr double kMicrosecondsPerSecond = 1e6;
  if (!created || !(PyFloat_Check(created) || PyLong_Check(created))) return now_microseconds();
  const double seconds = PyFloat_AsDouble(created);
  if (PyErr_Occurred()) interruption.take();
  if (!(seconds >= kFirstSecond && seconds < kEnd)) return now_microseconds();
  double whole = 0;
  const double fraction = std::modf(seconds, &whole);
  return static_cast<std::int64_t>(whole) * 1'000'000 +
         static_cast<std::int64_t>(round_half_even(fraction * kMicrosecondsPerSecond));
}

}  // namespace log_aggregator::python
