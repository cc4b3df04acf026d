#include "python/binding/call_site.h"

#include <cstdint>
#include <string_view>

#if PY_VERSION_HEX < 0x030B0000
#include <frameobject.h>
#endif

#include "log_aggregator/json_writer.h"
#include "python/binding/text.h"

namespace log_aggregator::python {
namespace {

// A number for the instruction that a frame is at; the same at the same place in the code.
int instruction_of(PyFrameObject* frame) {
#if PY_VERSION_HEX >= 0x030B0000
  return PyFrame_GetLasti(frame);
#else
  return frame->f_lasti;
#endif
}

Ref as_object(PyFrameObject* frame) { return Ref::steal(reinterpret_cast<PyObject*>(frame)); }

PyFrameObject* as_frame(const Ref& frame) { return reinterpret_cast<PyFrameObject*>(frame.get()); }

Ref filename_of(PyFrameObject* frame) {
  const Ref code = Ref::steal(reinterpret_cast<PyObject*>(PyFrame_GetCode(frame)));
  return Ref::share(reinterpret_cast<PyCodeObject*>(code.get())->co_filename);
}

std::string to_json(const CallSite& site) {
  JsonWriter json;
  const auto text = [&json](std::string_view name, PyObject* value) {
    json.key(name);
    json.string(Utf8(value).view());
  };
  text("module", site.module.get());
  text("filename", site.filename.get());
  text("funcName", site.function());
  json.key("lineno");
  json.integer(site.line);
  return ',' + std::string(json.text());
}

}  // namespace

bool CallSites::load(PyObject* source_file) {
  source_file_ = Ref::share(source_file);
  const Ref path = Ref::steal(PyImport_ImportModule("os.path"));
  if (!path) return false;
  basename_ = Ref::steal(PyObject_GetAttrString(path.get(), "basename"));
  splitext_ = Ref::steal(PyObject_GetAttrString(path.get(), "splitext"));
  const Ref io = Ref::steal(PyImport_ImportModule("io"));
  traceback_ = Ref::steal(PyImport_ImportModule("traceback"));
  if (io) string_io_ = Ref::steal(PyObject_GetAttrString(io.get(), "StringIO"));
  return basename_ && splitext_ && string_io_ && traceback_;
}

const CallSite* CallSites::find(long stacklevel) {
  PyFrameObject* const frame = PyEval_GetFrame();
  const CallSite* site = frame ? of(frame) : nullptr;
  if (site && (site->is_internal || stacklevel != 1)) {
    const Ref found = find_frame(frame, stacklevel);
    site = found ? of(as_frame(found)) : nullptr;
  }
  if (!site && PyErr_Occurred() && PyErr_ExceptionMatches(PyExc_Exception)) PyErr_Clear();
  return site;
}

// Before 3.11 it did not look at two frames above its own, as they were logging's; since then it
// steps over those.
const CallSite* CallSites::find_for_method(long stacklevel) {
  Ref frame = Ref::share(reinterpret_cast<PyObject*>(PyEval_GetFrame()));
#if PY_VERSION_HEX < 0x030B0000
  for (int i = 0; frame && i < 2; ++i) frame = as_object(PyFrame_GetBack(as_frame(frame)));
#endif
  if (frame) frame = find_frame(as_frame(frame), stacklevel);
  return frame ? of(as_frame(frame)) : nullptr;
}

const CallSite* CallSites::of(PyFrameObject* frame) {
  PyCodeObject* const code = PyFrame_GetCode(frame);
  Py_DECREF(code);  // the frame has it
  const int instruction = instruction_of(frame);
  constexpr int kAlignmentBits = 4;
  const std::size_t hash = (reinterpret_cast<std::uintptr_t>(code) >> kAlignmentBits) * 31 +
                           static_cast<std::size_t>(instruction);
  CallSite& site = slots_[hash % kSlots];
  if (site.code.get() == reinterpret_cast<PyObject*>(code) && site.instruction == instruction) {
    return &site;
  }
  CallSite fresh;
  if (!fill(fresh, frame, code, instruction)) return nullptr;
  site = std::move(fresh);
  ++changes_;
  return &site;
}

// The file's name and the module's as LogRecord.__init__ takes them from the path.
bool CallSites::fill(CallSite& site, PyFrameObject* frame, PyCodeObject* code, int instruction) {
  site.code = Ref::share(reinterpret_cast<PyObject*>(code));
  site.instruction = instruction;
  site.line = PyFrame_GetLineNumber(frame);
  site.line_number = Ref::steal(PyLong_FromLong(site.line));
  site.is_internal = is_internal(code->co_filename);
  site.filename = Ref::steal(PyObject_CallOneArg(basename_.get(), code->co_filename));
  if (!site.line_number || !site.filename) return false;
  const Ref parts = Ref::steal(PyObject_CallOneArg(splitext_.get(), site.filename.get()));
  if (!parts || !PyTuple_Check(parts.get()) || PyTuple_GET_SIZE(parts.get()) < 1) return false;
  site.module = Ref::share(PyTuple_GET_ITEM(parts.get(), 0));
  if (!PyUnicode_Check(site.filename.get()) || !PyUnicode_Check(site.module.get())) return false;
  site.json = to_json(site);
  return true;
}

bool CallSites::is_internal(PyObject* filename) const {
  if (filename == source_file_.get() || PyUnicode_Compare(filename, source_file_.get()) == 0) {
    return true;
  }
#if PY_VERSION_HEX >= 0x030B0000
  const Utf8 utf8(filename);
  return utf8.view().find("importlib") != std::string_view::npos &&
         utf8.view().find("_bootstrap") != std::string_view::npos;
#else
  return false;
#endif
}

Ref CallSites::find_frame(PyFrameObject* frame, long stacklevel) const {
  Ref found = Ref::share(reinterpret_cast<PyObject*>(frame));
#if PY_VERSION_HEX >= 0x030B0000
  // Steps go by frames of the application; where the stack ends before, its last frame is taken.
  while (true) {
    if (!is_internal(filename_of(as_frame(found)).get()) && --stacklevel <= 0) return found;
    Ref back = as_object(PyFrame_GetBack(as_frame(found)));
    if (!back) return found;
    found = std::move(back);
  }
#else
  // Steps go by all frames; where the stack ends before, none was taken.
  while (found && stacklevel-- > 1) found = as_object(PyFrame_GetBack(as_frame(found)));
  if (!found) found = Ref::share(reinterpret_cast<PyObject*>(frame));
  while (found && is_internal(filename_of(as_frame(found)).get())) {
    found = as_object(PyFrame_GetBack(as_frame(found)));
  }
  return found;
#endif
}

Ref CallSites::stack_text(PyObject* frame) const {
  const Ref file = Ref::steal(PyObject_CallNoArgs(string_io_.get()));
  if (!file) return {};
  const Ref written =
      Ref::steal(PyObject_CallMethod(file.get(), "write", "s", "Stack (most recent call last):\n"));
  const Ref print = Ref::steal(PyObject_GetAttrString(traceback_.get(), "print_stack"));
  const Ref arguments = Ref::steal(PyTuple_Pack(1, frame));
  const Ref keywords = Ref::steal(Py_BuildValue("{s:O}", "file", file.get()));
  if (!written || !print || !arguments || !keywords) return {};
  const Ref printed = Ref::steal(PyObject_Call(print.get(), arguments.get(), keywords.get()));
  const Ref text =
      printed ? Ref::steal(PyObject_CallMethod(file.get(), "getvalue", nullptr)) : Ref();
  if (!text || !PyUnicode_Check(text.get())) return {};
  const Py_ssize_t length = PyUnicode_GET_LENGTH(text.get());
  const bool ends_line = length > 0 && PyUnicode_READ_CHAR(text.get(), length - 1) == '\n';
  return Ref::steal(PyUnicode_Substring(text.get(), 0, ends_line ? length - 1 : length));
}

}  // namespace log_aggregator::python
