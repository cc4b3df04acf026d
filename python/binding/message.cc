#include "python/binding/message.h"

#include <array>
#include <charconv>
#include <cstring>
#include <string_view>

#include "python/binding/text.h"

namespace log_aggregator::python {
namespace {

// A format with more conversions than this is left to Python.
constexpr std::size_t kMaxConversions = 16;

struct Conversion {
  std::size_t at = 0;  // of the percent sign
  char kind = 's';     // s, d, r or %
};

struct Format {
  std::array<Conversion, kMaxConversions> conversions;
  std::size_t count = 0;
};

// Whether we can do it: nothing may be evaluated before this is known, as Python would evaluate it
// again.
bool parse(std::string_view text, const Message& message, Format& format) {
  Py_ssize_t used = 0;
  for (std::size_t at = text.find('%'); at != std::string_view::npos; at = text.find('%', at + 2)) {
    if (at + 1 == text.size() || format.count == kMaxConversions) return false;
    char kind = text[at + 1];
    if (kind != '%') {
      if (used == message.count) return false;
      const PyObject* const argument = message.args[used++];
      if (kind == 'i') kind = 'd';
      if (kind != 's' && kind != 'r' && !(kind == 'd' && PyLong_CheckExact(argument))) return false;
    }
    format.conversions[format.count++] = {at, kind};
  }
  return used == message.count;
}

bool append_text(RecordWriter& writer, PyObject* text) {
  if (!text) return false;
  writer.append_message(Utf8(text).view());
  return true;
}

bool append_int(RecordWriter& writer, PyObject* number) {
  int overflow = 0;
  const long long small = PyLong_AsLongLongAndOverflow(number, &overflow);
  if (overflow != 0) return append_text(writer, Ref::steal(PyObject_Str(number)).get());
  char digits[24];
  const char* const end = std::to_chars(digits, digits + sizeof digits, small).ptr;
  writer.append_message({digits, end});
  return true;
}

bool append_argument(RecordWriter& writer, char kind, PyObject* argument) {
  if (kind == 'r') return append_text(writer, Ref::steal(PyObject_Repr(argument)).get());
  if (PyUnicode_CheckExact(argument)) return append_text(writer, argument);
  if (PyLong_CheckExact(argument)) return append_int(writer, argument);
  return append_text(writer, Ref::steal(PyObject_Str(argument)).get());
}

bool append_formatted(RecordWriter& writer, std::string_view text, const Format& format,
                      PyObject* const* args) {
  std::size_t written = 0;
  for (std::size_t i = 0; i < format.count; ++i) {
    const Conversion& conversion = format.conversions[i];
    writer.append_message(text.substr(written, conversion.at - written));
    written = conversion.at + 2;
    if (conversion.kind == '%') {
      writer.append_message("%");
    } else if (!append_argument(writer, conversion.kind, *args++)) {
      return false;
    }
  }
  writer.append_message(text.substr(written));
  return true;
}

// What the % operator takes on its right.
Ref operand_of(const Message& message) {
  if (message.mapping) return Ref::share(message.mapping);
  Ref tuple = Ref::steal(PyTuple_New(message.count));
  for (Py_ssize_t i = 0; tuple && i < message.count; ++i) {
    PyTuple_SET_ITEM(tuple.get(), i, Py_NewRef(message.args[i]));
  }
  return tuple;
}

Ref formatted_by_python(PyObject* format, const Message& message) {
  const Ref operand = operand_of(message);
  return operand ? Ref::steal(PyNumber_Remainder(format, operand.get())) : Ref();
}

bool format_message(RecordWriter& writer, const Message& message) {
  Ref made;
  PyObject* msg = message.msg;
  if (!PyUnicode_CheckExact(msg)) {
    made = Ref::steal(PyObject_Str(msg));
    if (!made) return false;
    msg = made.get();
  }
  if (message.count == 0 && !message.mapping) return append_text(writer, msg);
  const Utf8 text(msg);
  Format format;
  if (!message.mapping && PyUnicode_CheckExact(msg) && parse(text.view(), message, format)) {
    return append_formatted(writer, text.view(), format, message.args);
  }
  const Ref formatted = formatted_by_python(msg, message);
  if (!formatted) return false;
  if (PyUnicode_Check(formatted.get())) return append_text(writer, formatted.get());
  return append_text(writer, Ref::steal(PyObject_Str(formatted.get())).get());
}

}  // namespace

bool read_message(PyObject* msg, PyObject* args, Message& message) {
  if (!msg || !args) return false;
  message.msg = msg;
  if (PyTuple_CheckExact(args)) {
    message.count = PyTuple_GET_SIZE(args);
    message.args = message.count > 0 ? &PyTuple_GET_ITEM(args, 0) : nullptr;
    return true;
  }
  if (args == Py_None) return true;
  if (!PyDict_CheckExact(args)) return false;
  if (PyDict_GET_SIZE(args) > 0) message.mapping = args;
  return true;
}

bool write_message(RecordWriter& writer, const Message& message) {
  const std::size_t start = writer.json().size();
  writer.begin_message();
  if (format_message(writer, message)) {
    writer.end_message();
    return true;
  }
  writer.json().rollback(start);
  return false;
}

}  // namespace log_aggregator::python
