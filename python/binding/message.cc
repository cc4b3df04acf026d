#include "python/binding/message.h"

#include <array>
#include <charconv>
#include <cstdint>
#include <string_view>

#include "python/binding/text.h"

namespace log_aggregator::python {
namespace {

// A longer format is not worth keeping.
constexpr Py_ssize_t kLongestFormat = 512;

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
  writer.append_escaped({digits, end});
  return true;
}

// str and int can be written without running any code.
bool is_simple(char kind, PyObject* argument) {
  return kind != 'r' && (PyUnicode_CheckExact(argument) || PyLong_CheckExact(argument));
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

bool append_formatted_by_python(RecordWriter& writer, PyObject* format, const Message& message) {
  const Ref operand = operand_of(message);
  const Ref formatted = operand ? Ref::steal(PyNumber_Remainder(format, operand.get())) : Ref();
  if (!formatted) return false;
  if (PyUnicode_Check(formatted.get())) return append_text(writer, formatted.get());
  return append_text(writer, Ref::steal(PyObject_Str(formatted.get())).get());
}

bool is_plain_format(PyObject* msg) {
  return PyUnicode_CheckExact(msg) && PyUnicode_IS_COMPACT_ASCII(msg) &&
         PyUnicode_GET_LENGTH(msg) <= kLongestFormat;
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

bool MessageWriter::write(RecordWriter& writer, const Message& message) {
  const std::size_t start = writer.json().size();
  writer.begin_message();
  if (append(writer, message)) {
    writer.end_message();
    return true;
  }
  writer.json().rollback(start);
  return false;
}

bool MessageWriter::is_surely_quiet(const Message& message) {
  if (!PyUnicode_CheckExact(message.msg) || message.mapping) return false;
  if (message.count == 0) return true;
  return is_plain_format(message.msg) && is_common(parsed(message.msg), message) &&
         has_simple_arguments(parsed(message.msg), message);
}

bool MessageWriter::append(RecordWriter& writer, const Message& message) {
  Ref made;
  PyObject* msg = message.msg;
  if (!PyUnicode_CheckExact(msg)) {
    made = Ref::steal(PyObject_Str(msg));
    if (!made) return false;
    msg = made.get();
  }
  if (message.count == 0 && !message.mapping) return append_text(writer, msg);
  if (message.mapping || !is_plain_format(msg)) {
    return append_formatted_by_python(writer, msg, message);
  }
  const Format& format = parsed(msg);
  if (!is_common(format, message)) return append_formatted_by_python(writer, msg, message);
  if (!has_simple_arguments(format, message)) return append_converted(writer, msg, message);
  return append_common(writer, format, message.args);
}

// With arguments that run code to become texts. That may log with a format that has the same slot.
bool MessageWriter::append_converted(RecordWriter& writer, PyObject* msg, const Message& message) {
  std::array<Ref, kMostConversions> texts;
  std::array<PyObject*, kMostConversions> args{};
  for (std::size_t i = 0; i < static_cast<std::size_t>(message.count); ++i) {
    const char kind = parsed(msg).conversions[i].kind;
    args[i] = message.args[i];
    if (is_simple(kind, args[i])) continue;
    texts[i] = Ref::steal(kind == 'r' ? PyObject_Repr(args[i]) : PyObject_Str(args[i]));
    args[i] = texts[i].get();
    if (!args[i]) return false;
  }
  return append_common(writer, parsed(msg), args.data());
}

// str and int only: runs no code.
bool MessageWriter::append_common(RecordWriter& writer, const Format& format,
                                  PyObject* const* args) {
  const std::string_view literals = format.literals;
  std::size_t written = 0;
  for (const Format::Conversion& conversion : format.conversions) {
    writer.append_escaped(literals.substr(written, conversion.literal_end - written));
    written = conversion.literal_end;
    PyObject* const argument = *args++;
    const bool appended =
        PyLong_CheckExact(argument) ? append_int(writer, argument) : append_text(writer, argument);
    if (!appended) return false;
  }
  writer.append_escaped(literals.substr(written));
  return true;
}

// Nothing may be evaluated before this is known, as Python would evaluate it again.
bool MessageWriter::is_common(const Format& format, const Message& message) {
  if (!format.is_common || static_cast<Py_ssize_t>(format.conversions.size()) != message.count) {
    return false;
  }
  for (std::size_t i = 0; i < format.conversions.size(); ++i) {
    if (format.conversions[i].kind == 'd' && !PyLong_CheckExact(message.args[i])) return false;
  }
  return true;
}

bool MessageWriter::has_simple_arguments(const Format& format, const Message& message) {
  for (std::size_t i = 0; i < format.conversions.size(); ++i) {
    if (!is_simple(format.conversions[i].kind, message.args[i])) return false;
  }
  return true;
}

const MessageWriter::Format& MessageWriter::parsed(PyObject* text) {
  constexpr int kAlignmentBits = 4;
  const std::size_t hash = reinterpret_cast<std::uintptr_t>(text) >> kAlignmentBits;
  Format& format = formats_[(hash ^ (hash >> 8)) % formats_.size()];
  if (format.text.get() == text) return format;
  format = {};
  format.is_common = parse(Utf8(text).view(), format);
  format.text = Ref::share(text);
  return format;
}

bool MessageWriter::parse(std::string_view text, Format& format) {
  while (true) {
    const std::size_t percent = text.find('%');
    append_json_escaped(format.literals, text.substr(0, percent));
    if (percent == std::string_view::npos) return true;
    if (percent + 1 == text.size()) return false;
    char kind = text[percent + 1];
    text.remove_prefix(percent + 2);
    if (kind == 'i') kind = 'd';
    if (kind == '%') {
      format.literals += '%';
    } else if ((kind == 's' || kind == 'd' || kind == 'r') &&
               format.conversions.size() < kMostConversions) {
      format.conversions.push_back({format.literals.size(), kind});
    } else {
      return false;
    }
  }
}

}  // namespace log_aggregator::python
