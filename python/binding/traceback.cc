#include "python/binding/traceback.h"

#include <algorithm>
#include <new>
#include <string_view>
#include <utility>
#include <vector>

namespace log_aggregator::python {
namespace {

#ifdef Py_GIL_DISABLED
constexpr bool kSupported = false;
#else
constexpr bool kSupported = PY_VERSION_HEX < 0x030F0000;
#endif

PyTracebackObject* as_traceback(PyObject* object) {
  return reinterpret_cast<PyTracebackObject*>(object);
}

PyObject* filename_of(PyObject* code) { return reinterpret_cast<PyCodeObject*>(code)->co_filename; }

PyObject* name_of(PyObject* code) { return reinterpret_cast<PyCodeObject*>(code)->co_name; }

bool is_same_text(PyObject* left, PyObject* right) {
  return left == right || PyUnicode_Compare(left, right) == 0;
}

// Frames at one line of one function that follow each other are shown three times, then counted.
class FoldedFrames {
 public:
  explicit FoldedFrames(std::string& text) : text_(text) {}

  void add(const Ref& code, const FrameText& frame) {
    if (!repeats(code.get(), frame.shown_line)) {
      finish();
      code_ = code;
      line_ = frame.shown_line;
      count_ = 0;
    }
    if (++count_ <= kShown) text_ += frame.text;
  }

  void finish() {
    if (count_ <= kShown) return;
    const long folded = count_ - kShown;
    text_ += "  [Previous line repeated ";
    text_ += std::to_string(folded);
    text_ += folded > 1 ? " more times]\n" : " more time]\n";
  }

 private:
  static constexpr long kShown = 3;

  bool repeats(PyObject* code, long line) const {
    if (!code_ || line != line_ || line == FrameText::kNoLine) return false;
    return code == code_.get() || (is_same_text(filename_of(code), filename_of(code_.get())) &&
                                   is_same_text(name_of(code), name_of(code_.get())));
  }

  std::string& text_;
  Ref code_;
  long line_ = 0;
  long count_ = 0;
};

// ---- errors

bool is_group(PyObject* error) {
#if PY_VERSION_HEX >= 0x030B0000
  return PyObject_TypeCheck(error, reinterpret_cast<PyTypeObject*>(PyExc_BaseExceptionGroup));
#else
  (void)error;
  return false;
#endif
}

// Most Pythons leave the chain of an error out that is false.
bool may_be_false(PyTypeObject* type) {
  return (type->tp_as_number && type->tp_as_number->nb_bool) ||
         (type->tp_as_mapping && type->tp_as_mapping->mp_length) ||
         (type->tp_as_sequence && type->tp_as_sequence->sq_length);
}

bool is_plain(PyObject* error) {
  return PyExceptionInstance_Check(error) && !is_group(error) && !may_be_false(Py_TYPE(error));
}

bool is_subtype(PyTypeObject* type, PyObject* base) {
  return PyType_IsSubtype(type, reinterpret_cast<PyTypeObject*>(base)) != 0;
}

// What is suggested depends on the values in the frames.
bool may_have_suggestion(PyTypeObject* type) {
#if PY_VERSION_HEX >= 0x030C0000
  return is_subtype(type, PyExc_AttributeError) || is_subtype(type, PyExc_NameError) ||
         is_subtype(type, PyExc_ImportError);
#else
  (void)type;
  return false;
#endif
}

// False where it cannot be told, too.
bool has_no_notes(PyObject* error, Interruption& interruption) {
#if PY_VERSION_HEX >= 0x030B0000
  if (Ref::steal(PyObject_GetAttrString(error, "__notes__"))) return false;
  const bool missing = PyErr_ExceptionMatches(PyExc_AttributeError) != 0;
  interruption.take();
  return missing;
#else
  (void)error;
  (void)interruption;
  return true;
#endif
}

bool has_plain_last_line(PyObject* error, Interruption& interruption) {
  PyTypeObject* const type = Py_TYPE(error);
  return !is_subtype(type, PyExc_SyntaxError) && !may_have_suggestion(type) &&
         has_no_notes(error, interruption);
}

// An error of Python's may be left set.
bool write_type_name(PyTypeObject* type, std::string& text) {
  auto* const object = reinterpret_cast<PyObject*>(type);
  const Ref name = Ref::steal(PyObject_GetAttrString(object, "__qualname__"));
  const Ref module = name ? Ref::steal(PyObject_GetAttrString(object, "__module__")) : Ref();
  if (!module || !PyUnicode_CheckExact(name.get())) return false;
  if (!PyUnicode_Check(module.get())) {
    text += "<unknown>.";
  } else {
    if (!PyUnicode_CheckExact(module.get())) return false;
    const Utf8 module_name(module.get());
    if (module_name.view() != "builtins" && module_name.view() != "__main__") {
      text += module_name.view();
      text += '.';
    }
  }
  text += Utf8(name.get()).view();
  return true;
}

// What stands for an error whose str() raises, as that says of itself: whatever it was is taken.
bool write_failed_str(PyTypeObject* type, std::string& text) {
#if PY_VERSION_HEX >= 0x030B0000
  (void)type;
  text += "<exception str() failed>";
  return true;
#else
  const Ref name =
      Ref::steal(PyObject_GetAttrString(reinterpret_cast<PyObject*>(type), "__name__"));
  if (!name || !PyUnicode_Check(name.get())) return false;
  text += "<unprintable ";
  text += Utf8(name.get()).view();
  text += " object>";
  return true;
#endif
}

// "ValueError: text". An error of Python's may be left set.
bool write_last_line(PyObject* error, std::string& text, Interruption& interruption) {
  const Ref value = Ref::steal(PyObject_Str(error));
  if (!value) interruption.take();
  if (value && !PyUnicode_CheckExact(value.get())) return false;
  if (!write_type_name(Py_TYPE(error), text)) return false;
  if (!value) {
    text += ": ";
    if (!write_failed_str(Py_TYPE(error), text)) return false;
  } else if (PyUnicode_GET_LENGTH(value.get()) > 0) {
    text += ": ";
    text += Utf8(value.get()).view();
  }
  text += '\n';
  return true;
}

// ---- chains

struct Link {
  Ref error;
  std::string text;
  PyObject* joint = nullptr;  // after the text of the error that this one followed
};

bool is_in(const std::vector<Link>& chain, PyObject* error) {
  return std::any_of(chain.begin(), chain.end(),
                     [error](const Link& link) { return link.error.get() == error; });
}

// The error that is shown before the last of the chain; none at its end. False with an error set.
bool find_next(const std::vector<Link>& chain, Ref& next, bool& is_cause) {
  PyObject* const error = chain.back().error.get();
  next = Ref::steal(PyObject_GetAttrString(error, "__cause__"));
  if (!next) return false;
  is_cause = next.get() != Py_None && !is_in(chain, next.get());
  if (is_cause) return true;
  const Ref suppress = Ref::steal(PyObject_GetAttrString(error, "__suppress_context__"));
  const int suppressed = suppress ? PyObject_IsTrue(suppress.get()) : -1;
  if (suppressed < 0) return false;
  next = Ref::steal(PyObject_GetAttrString(error, "__context__"));
  if (!next) return false;
  if (suppressed || next.get() == Py_None || is_in(chain, next.get())) next = Ref();
  return true;
}

}  // namespace

bool TracebackFormatter::format(PyObject* exc_info, std::string& text, Interruption& interruption) {
  bool done = false;
  try {
    text.clear();
    done = prepare() && write(exc_info, text, interruption);
  } catch (const std::bad_alloc&) {
    done = false;
  }
  if (PyErr_Occurred()) interruption.take();
  ++(done ? formatted_ : left_);
  return done;
}

bool TracebackFormatter::stands_for(PyObject* formatter, Interruption& interruption) {
  PyTypeObject* const type = Py_TYPE(formatter);
  if (!kSupported || type->tp_getattro != PyObject_GenericGetAttr) return false;
  const Ref method =
      Ref::steal(PyObject_GetAttrString(reinterpret_cast<PyObject*>(type), "formatException"));
  const Ref own = method ? Ref::steal(PyObject_GenericGetDict(formatter, nullptr)) : Ref();
  bool stands = false;
  try {
    stands = own && prepare() && method.get() == format_exception_.get() &&
             !PyDict_GetItemString(own.get(), "formatException");
  } catch (const std::bad_alloc&) {
    stands = false;
  }
  if (PyErr_Occurred()) interruption.take();
  return stands;
}

TracebackFormatter::Stats TracebackFormatter::stats() const {
  return {formatted_, left_, rendered_, texts_.count()};
}

// Whether the modules are as they came. May be asked again: what was patched may be put back.
bool TracebackFormatter::prepare() {
  if (!kSupported) return false;
  if (!watching_) {
    const Ref logging = Ref::steal(PyImport_ImportModule("logging"));
    const Ref traceback = logging ? Ref::steal(PyImport_ImportModule("traceback")) : Ref();
    const Ref linecache = traceback ? Ref::steal(PyImport_ImportModule("linecache")) : Ref();
    watching_ = linecache && watch(logging.get(), traceback.get(), linecache.get()) &&
                keep_objects(logging.get(), traceback.get());
    if (!watching_) watch_.clear();
    if (watching_) linecache_ = Ref::share(PyModule_GetDict(linecache.get()));
  }
  return watching_ && watch_.is_unchanged();
}

bool TracebackFormatter::watch(PyObject* logging, PyObject* traceback, PyObject* linecache) {
  PyObject* const dict = PyModule_GetDict(logging);
  PyObject* const formatter = PyDict_GetItemString(dict, "Formatter");
  if (!formatter || !PyType_Check(formatter)) return false;
  const Ref name = Ref::steal(PyUnicode_InternFromString("traceback"));
  if (!name || PyDict_GetItemWithError(dict, name.get()) != traceback) return false;
  watch_.add_value(dict, name.get(), traceback);
  PyObject* const formatter_dict = reinterpret_cast<PyTypeObject*>(formatter)->tp_dict;
  return watch_.add_function(logging, formatter_dict, "formatException") &&
         watch_.add_module(traceback, {"FrameSummary", "StackSummary", "TracebackException"}) &&
         watch_.add_module(linecache, {});
}

bool TracebackFormatter::keep_objects(PyObject* logging, PyObject* traceback) {
  const Ref formatter = Ref::steal(PyObject_GetAttrString(logging, "Formatter"));
  const auto get = [](PyObject* object, const char* name) {
    return object ? Ref::steal(PyObject_GetAttrString(object, name)) : Ref();
  };
  format_exception_ = get(formatter.get(), "formatException");
  extract_tb_ = get(format_exception_ ? traceback : nullptr, "extract_tb");
  exception_class_ = get(extract_tb_ ? traceback : nullptr, "TracebackException");
  cause_joint_ = get(exception_class_ ? traceback : nullptr, "_cause_message");
  context_joint_ = get(cause_joint_ ? traceback : nullptr, "_context_message");
  if (!context_joint_ || !PyUnicode_Check(cause_joint_.get()) ||
      !PyUnicode_Check(context_joint_.get())) {
    return false;
  }
  last_lines_options_ = Ref::steal(Py_BuildValue("{s:i,s:O}", "limit", 0, "compact", Py_True));
  return static_cast<bool>(last_lines_options_);
}

// Outermost first, as their str() is to be called in this order, and put together the other way.
bool TracebackFormatter::write(PyObject* exc_info, std::string& text, Interruption& interruption) {
  if (!PyTuple_Check(exc_info) || PyTuple_GET_SIZE(exc_info) != 3) return false;
  PyObject* const limit = PySys_GetObject("tracebacklimit");
  if (limit && limit != Py_None) return false;
  std::vector<Link> chain;
  Ref error = Ref::share(PyTuple_GET_ITEM(exc_info, 1));
  Ref traceback = Ref::share(PyTuple_GET_ITEM(exc_info, 2));
  bool is_cause = false;
  PyObject* joint = nullptr;
  while (error) {
    if (chain.size() == kMaxChain) return false;
    Link& link = chain.emplace_back(Link{error, {}, joint});
    if (!write_error(error.get(), traceback.get(), link.text, interruption)) return false;
    if (!find_next(chain, error, is_cause)) return false;
    if (error) traceback = Ref::steal(PyObject_GetAttrString(error.get(), "__traceback__"));
    if (!traceback) return false;
    joint = is_cause ? cause_joint_.get() : context_joint_.get();
  }
  for (auto link = chain.rbegin(); link != chain.rend(); ++link) {
    text += link->text;
    if (link->joint) text += Utf8(link->joint).view();
  }
  if (text.ends_with('\n')) text.pop_back();
  return true;
}

bool TracebackFormatter::write_error(PyObject* error, PyObject* traceback, std::string& text,
                                     Interruption& interruption) {
  if (!is_plain(error)) return false;
  if (traceback != Py_None) {
    if (!PyTraceBack_Check(traceback)) return false;
    text += "Traceback (most recent call last):\n";
    if (!write_frames(traceback, text, interruption)) return false;
  }
  const std::size_t before = text.size();
  if (has_plain_last_line(error, interruption) && write_last_line(error, text, interruption)) {
    return true;
  }
  if (PyErr_Occurred()) interruption.take();
  text.resize(before);
  return write_last_lines(error, traceback, text);
}

bool TracebackFormatter::write_frames(PyObject* traceback, std::string& text,
                                      Interruption& interruption) {
  SourceCheck sources(linecache_.get());
  FoldedFrames frames(text);
  for (Ref at = Ref::share(traceback); at;
       at = Ref::share(reinterpret_cast<PyObject*>(as_traceback(at.get())->tb_next))) {
    const PyTracebackObject* const entry = as_traceback(at.get());
    const Ref code = Ref::steal(reinterpret_cast<PyObject*>(PyFrame_GetCode(entry->tb_frame)));
    const FramePlace place = {code.get(), entry->tb_lasti, entry->tb_lineno};
    if (const FrameText* const kept = find_current(place, sources, interruption)) {
      frames.add(code, *kept);
      continue;
    }
    FrameText made;
    if (!render(at.get(), place, sources, made)) return false;
    frames.add(code, made);
    if (made.source) texts_.keep(std::move(made));
  }
  frames.finish();
  return true;
}

const FrameText* TracebackFormatter::find_current(const FramePlace& place, SourceCheck& sources,
                                                  Interruption& interruption) {
  const FrameText* const kept = texts_.find(place);
  if (!kept) return nullptr;
  const Ref source = kept->source;
  if (!sources.is_current(source.get(), filename_of(place.code), interruption)) return nullptr;
  const FrameText* const still = texts_.find(place);  // a loader may have run
  return still && still->source.get() == source.get() ? still : nullptr;
}

namespace {

// Asks the traceback module for the one frame of a traceback.
bool ask_for_frame(PyObject* extract_tb, PyObject* traceback, FrameText& made) {
  const Ref frames = Ref::steal(PyObject_CallOneArg(extract_tb, traceback));
  const Ref frame = frames ? Ref::steal(PySequence_GetItem(frames.get(), 0)) : Ref();
  const Ref line = frame ? Ref::steal(PyObject_GetAttrString(frame.get(), "lineno")) : Ref();
  const Ref rows = line ? Ref::steal(PyObject_CallMethod(frames.get(), "format", nullptr)) : Ref();
  if (!rows || !PyList_Check(rows.get()) || PyList_GET_SIZE(rows.get()) != 1) return false;
  PyObject* const row = PyList_GET_ITEM(rows.get(), 0);
  if (!PyUnicode_CheckExact(row)) return false;
  made.text = Utf8(row).view();
  made.shown_line = PyLong_CheckExact(line.get()) ? PyLong_AsLong(line.get()) : FrameText::kNoLine;
  return !PyErr_Occurred();
}

}  // namespace

// A second time where the first made linecache read the source: only a text that was made from
// beginning to end of what linecache held can be said to be of that.
bool TracebackFormatter::render(PyObject* traceback, const FramePlace& place,
                                const SourceCheck& sources, FrameText& made) {
  const PyTracebackObject* const entry = as_traceback(traceback);
  const Ref alone = Ref::steal(PyObject_CallFunction(
      reinterpret_cast<PyObject*>(&PyTraceBack_Type), "OOii", Py_None,
      reinterpret_cast<PyObject*>(entry->tb_frame), place.instruction, place.line));
  if (!alone) return false;
  made.code = Ref::share(place.code);
  made.instruction = place.instruction;
  made.line = place.line;
  PyObject* const filename = filename_of(place.code);
  const Ref before = sources.version_of(filename);
  ++rendered_;
  if (!ask_for_frame(extract_tb_.get(), alone.get(), made)) return false;
  Ref source = sources.version_of(filename);
  if (source && source.get() != before.get()) {
    FrameText again;
    ++rendered_;
    if (!ask_for_frame(extract_tb_.get(), alone.get(), again)) return false;
    const bool same = again.text == made.text && again.shown_line == made.shown_line &&
                      sources.version_of(filename).get() == source.get();
    if (!same) source = Ref();
  }
  made.source = std::move(source);
  return true;
}

// limit=0 spares the frames, also those of the chain; suggestions still find the traceback's last.
bool TracebackFormatter::write_last_lines(PyObject* error, PyObject* traceback,
                                          std::string& text) const {
  const Ref arguments =
      Ref::steal(PyTuple_Pack(3, reinterpret_cast<PyObject*>(Py_TYPE(error)), error, traceback));
  if (!arguments) return false;
  const Ref exception =
      Ref::steal(PyObject_Call(exception_class_.get(), arguments.get(), last_lines_options_.get()));
  if (!exception) return false;
  const Ref iterator =
      Ref::steal(PyObject_CallMethod(exception.get(), "format_exception_only", nullptr));
  const Ref lines = iterator ? Ref::steal(PySequence_List(iterator.get())) : Ref();
  const Ref empty = lines ? Ref::steal(PyUnicode_FromString("")) : Ref();
  const Ref joined = empty ? Ref::steal(PyUnicode_Join(empty.get(), lines.get())) : Ref();
  if (!joined) return false;
  text += Utf8(joined.get()).view();
  return true;
}

}  // namespace log_aggregator::python
