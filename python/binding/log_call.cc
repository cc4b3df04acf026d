#include "python/binding/log_call.h"

#include <algorithm>
#include <ctime>
#include <new>
#include <optional>
#include <utility>
#include <vector>

#include "python/binding/emit.h"
#include "python/binding/message.h"
#include "python/binding/text.h"
#include "python/binding/values.h"

namespace log_aggregator::python {
namespace {

bool is_plain_value(PyObject* value) {
  return PyUnicode_CheckExact(value) || PyLong_CheckExact(value) || PyBool_Check(value) ||
         PyFloat_CheckExact(value) || value == Py_None;
}

bool write_plain_value(JsonWriter& json, PyObject* value) {
  if (PyUnicode_CheckExact(value)) {
    json.string(Utf8(value).view());
  } else if (PyLong_CheckExact(value)) {
    int overflow = 0;
    const long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (overflow != 0) return false;
    json.integer(number);
  } else if (PyBool_Check(value)) {
    json.boolean(value == Py_True);
  } else if (PyFloat_CheckExact(value)) {
    json.real(PyFloat_AS_DOUBLE(value));
  } else if (value == Py_None) {
    json.null();
  } else {
    return false;
  }
  return true;
}

// logging.config sets 1 and 0 where others set True and False.
bool is_flag(PyObject* value) { return PyBool_Check(value) || PyLong_CheckExact(value); }

std::int64_t now_ns() {
  constexpr std::int64_t kNanosecondsPerSecond = 1'000'000'000;
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * kNanosecondsPerSecond + now.tv_nsec;
}

}  // namespace

// ---- the arguments

// `level` is one of log() alone; for the others it is unknown, which is left to logging, too.
bool LogCall::has_doubled_argument(PyObject* keywords) const {
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(keywords); ++i) {
    for (const std::size_t name : {LogNames::msg, LogNames::level, LogNames::self}) {
      if (PyUnicode_Compare(PyTuple_GET_ITEM(keywords, i), state.names[name]) == 0) return true;
    }
  }
  return false;
}

bool LogCall::read_keywords(PyObject* const* values, PyObject* keywords) {
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(keywords); ++i) {
    PyObject* const keyword = PyTuple_GET_ITEM(keywords, i);
    PyObject* const value = values[i];
    const auto is = [keyword, this](std::size_t name) {
      return keyword == state.names[name] || PyUnicode_Compare(keyword, state.names[name]) == 0;
    };
    if (is(LogNames::extra)) {
      extra = value;
    } else if (is(LogNames::exc_info)) {
      if (!read_exc_info(value)) return false;
    } else if (is(LogNames::stack_info)) {
      if (value != Py_True && value != Py_False && value != Py_None) return false;
      stack_info = value == Py_True;
    } else if (is(LogNames::stacklevel)) {
      constexpr long kMost = 1'000'000;
      const long number = PyLong_CheckExact(value) ? PyLong_AsLong(value) : 0;
      if (number < 1 || number > kMost) {
        PyErr_Clear();
        return false;
      }
      stacklevel = static_cast<int>(number);
    } else {
      return false;
    }
  }
  return extra_is_usual();
}

bool LogCall::read_exc_info(PyObject* value) {
  const bool usual = value == Py_None || PyBool_Check(value) || PyLong_CheckExact(value) ||
                     PyTuple_CheckExact(value) || PyExceptionInstance_Check(value);
  const int wanted = usual ? PyObject_IsTrue(value) : -1;
  PyErr_Clear();
  exc_info = value;
  has_exception = wanted > 0;
  return wanted >= 0;
}

bool LogCall::extra_is_usual() const {
  if (extra == Py_None) return true;
  if (!PyDict_CheckExact(extra)) return false;
  PyObject* key = nullptr;
  Py_ssize_t at = 0;
  while (PyDict_Next(extra, &at, &key, nullptr)) {
    if (!PyUnicode_CheckExact(key) || !state.attributes.is_extra(key)) return false;
  }
  return true;
}

// What Logger._log() makes of exc_info. Null where that stands for no exception, or with a Python
// error set.
Ref LogCall::exception_tuple() const {
  if (!has_exception) return {};
  if (PyExceptionInstance_Check(exc_info)) {
    const Ref traceback = Ref::steal(PyException_GetTraceback(exc_info));
    return Ref::steal(PyTuple_Pack(3, reinterpret_cast<PyObject*>(Py_TYPE(exc_info)), exc_info,
                                   traceback ? traceback.get() : Py_None));
  }
  if (PyTuple_CheckExact(exc_info)) return Ref::share(exc_info);
  return Ref::steal(PyObject_CallNoArgs(state.exc_info_function.get()));
}

// ---- the ways

PyObject* LogCall::log(const LoggerTraits& traits, const LoggerView& view) {
  if (!traits.makes_records || !state.logging.makes_standard_records() || !view.name) {
    return nullptr;
  }
  PyObject* const name = view.name;  // the view is gone when its parents' have been read
  if (traits.hands_out_records && !stack_info && Fragments::is_plain(name)) {
    PyObject* const level_name = state.logging.level_name(level_number, level);
    const Audience seen_by = level_name ? audience(view) : Audience{Audience::Who::others, nullptr};
    if (seen_by.who == Audience::Who::nobody) Py_RETURN_NONE;
    if (seen_by.who == Audience::Who::ours) {
      return log_fast(seen_by.handler, name, level_name);
    }
  }
  return log_record(name);
}

// As Logger.handle() does it around all that handlers do. The thread's state, a new reference;
// null: there is nothing to guard.
PyObject* LogCall::begin_guard() const {
  if (!state.logging.guards_reentry() || is_surely_quiet()) return nullptr;
  PyObject* guard = PyObject_GetAttr(logger, state.names[LogNames::tls]);
  if (guard && PyObject_SetAttr(guard, state.names[LogNames::in_progress], Py_True) < 0) {
    Py_CLEAR(guard);
  }
  PyErr_Clear();
  return guard;
}

void LogCall::end_guard(PyObject* guard) const {
  if (!guard) return;
  PyObject* type = nullptr;
  PyObject* value = nullptr;
  PyObject* traceback = nullptr;
  PyErr_Fetch(&type, &value, &traceback);
  PyObject_SetAttr(guard, state.names[LogNames::in_progress], Py_False);
  Py_DECREF(guard);
  PyErr_Restore(type, value, traceback);
}

bool LogCall::is_surely_quiet() const {
  if (has_exception ||
      !state.messages.is_surely_quiet({.msg = msg, .args = args, .count = count})) {
    return false;
  }
  PyObject* value = nullptr;
  Py_ssize_t at = 0;
  while (extra != Py_None && PyDict_Next(extra, &at, nullptr, &value)) {
    if (!is_plain_value(value)) return false;
  }
  return true;
}

// ---- who would see the record

// As Logger.handle() and callHandlers() go about it.
LogCall::Audience LogCall::audience(const LoggerView& logger_view) const {
  const Audience others{Audience::Who::others, nullptr};
  PyObject* const filters = logger_view.filters;
  if (!filters || !PyList_CheckExact(filters) || PyList_GET_SIZE(filters) > 0) return others;
  Audience result;
  bool found = false;
  const LoggerView* view = &logger_view;
  while (true) {
    PyObject* const handlers = view->handlers;
    if (!handlers || !PyList_CheckExact(handlers) || !add_handlers(handlers, result, found)) {
      return others;
    }
    PyObject* const parent = view->parent;
    if (parent == Py_None || view->propagate == Py_False) break;
    if (!parent || !view->propagate || !is_flag(view->propagate) ||
        !state.logging.logger_traits(Py_TYPE(parent)).is_plain) {
      return others;
    }
    if (view->propagate != Py_True && PyObject_IsTrue(view->propagate) == 0) break;
    view = state.logger_views.read(parent);
    if (!view) return others;
  }
  return found ? result : others;  // without any handler there is logging.lastResort
}

bool LogCall::has_own_handle(PyObject* handler) const {
  const Ref dict = Ref::steal(PyObject_GenericGetDict(handler, nullptr));
  if (!dict) PyErr_Clear();
  return !dict || PyDict_GetItemWithError(dict.get(), state.names[LogNames::handle]);
}

bool LogCall::add_handlers(PyObject* list, Audience& result, bool& found) const {
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); ++i) {
    PyObject* const object = PyList_GET_ITEM(list, i);
    found = true;
    HandlerTraits traits;
    HandlerObject* const handler = as_handler(state, object, traits);
    if (!handler) {
      if (!state.logging.is_null_handler(object) || has_own_handle(object)) return false;
      continue;
    }
    if (!handler->level || !PyLong_CheckExact(handler->level)) return false;
    int overflow = 0;
    const long least = PyLong_AsLongAndOverflow(handler->level, &overflow);
    if (overflow > 0 || (overflow == 0 && least > level)) continue;
    if (result.handler || !takes_the_short_way(state, handler, traits)) {
      return false;
    }
    result = {Audience::Who::ours, handler};
  }
  return true;
}

// ---- without a LogRecord

PyObject* LogCall::log_fast(HandlerObject* handler, PyObject* logger_name, PyObject* level_name) {
  // What is encoded may run code that gives the logger or the level another name.
  PyObject* const names_of_record[] = {Py_NewRef(logger_name), Py_NewRef(level_name)};
  PyObject* const handler_object = Py_NewRef(reinterpret_cast<PyObject*>(handler));
  PyObject* const core_object = Py_NewRef(handler->core);
  PyObject* failed_record = nullptr;
  PyObject* taken = nullptr;
  PyObject* const guard = begin_guard();
  try {
    Core* const core = core_of(core_object);
    Encoded encoded;
    const bool well = core && encode(*core, logger_name, level_name, encoded, &failed_record);
    if (core && encoded.writer) {
      ++handler->paths.fast;
      taken = hand_over(*core, std::move(encoded), well);
    }
  } catch (const std::bad_alloc&) {
    // logging's way may find memory, and has handleError() where it does not.
  }
  const bool well = taken || (failed_record && handle_error(handler, failed_record));
  end_guard(guard);
  Py_XDECREF(taken);
  Py_XDECREF(failed_record);
  Py_DECREF(core_object);
  Py_DECREF(handler_object);
  for (PyObject* const name_of_record : names_of_record) Py_DECREF(name_of_record);
  if (!well) return nullptr;
  Py_RETURN_NONE;
}

// The sole argument where it is a mapping that has anything in it. False with a Python error set.
bool LogCall::find_mapping(PyObject** mapping) const {
  if (count != 1 || PyUnicode_CheckExact(args[0]) || PyLong_CheckExact(args[0])) return true;
  if (PyDict_CheckExact(args[0])) {
    if (PyDict_GET_SIZE(args[0]) > 0) *mapping = args[0];
    return true;
  }
  const int is_filled = state.records.is_filled_mapping(args[0]);
  if (is_filled > 0) *mapping = args[0];
  return is_filled >= 0;
}

// False with a Python error set; then the record is encoded all the same, and *failed_record is the
// LogRecord for handleError(), or there is no writer in `encoded`.
bool LogCall::encode(Core& core, PyObject* logger_name, PyObject* level_name, Encoded& encoded,
                     PyObject** failed_record) {
  const std::int64_t time_ns = now_ns();
  const Ref exception = exception_tuple();
  if (has_exception && !exception) return false;
  Identity identity;
  Message message{.msg = msg, .args = args, .count = count};
  const CallSite* site = state.call_sites.find(stacklevel);
  const std::uint64_t site_changes = state.call_sites.changes();
  if (!site || !state.identities.read(identity) || !find_mapping(&message.mapping) ||
      !PyUnicode_CheckExact(identity.thread_name.get())) {
    return false;
  }

  // Taken out first, as makeRecord() does, where formatting may run code that changes the dict.
  const bool is_plain = runs_no_code();
  const Pairs pairs = is_plain ? Pairs() : extra_pairs();
  Interruption interruption;
  std::optional<SavedError> error;
  const RecordEncoder encoder(state, core.level_map.get(),
                              core.handler->options().max_record_bytes);
  encoded.writer = core.take_writer();
  encoded.severity = static_cast<int>(level);
  RecordWriter& writer = *encoded.writer;
  encoder.begin(writer, time_ns / 1000, level_name, level_number, interruption);
  if (!state.messages.write(writer, message)) {
    error.emplace();
    *failed_record = build_record(logger_name, identity, time_ns, exception.get()).release();
    if (*failed_record) {
      writer.message(unformatted_message(*failed_record, error->value(), interruption));
    }
    PyErr_Clear();
  }
  // Formatting may have logged at another place that has the same slot.
  if (site_changes != state.call_sites.changes()) site = state.call_sites.find(stacklevel);
  if (PyErr_Occurred()) interruption.take();
  const Caller caller{.process = identity.process,
                      .thread = static_cast<long long>(identity.thread),
                      .thread_name = identity.thread_name.get()};
  if (site && Fragments::is_plain(caller.thread_name)) {
    writer.fields(state.fragments.origin(logger_name, *site, caller));
  } else {
    writer.fields(state.fragments.logger(logger_name));
    if (site) writer.fields(site->json);
    writer.fields(state.fragments.caller(caller));
  }
  write_process_and_task(writer, identity.process_name.get(), identity.task_name.get(),
                         interruption);
  if (exception) encoder.write_exception(writer, exception.get(), Py_None, interruption);
  if (!is_plain) {
    encoder.write_extra(writer, pairs, interruption);
  } else if (!write_plain_extra(writer)) {
    encoder.write_extra(writer, extra_pairs(), interruption);
  }
  encoded.finish();
  if (interruption.restore()) return false;
  if (error) error->restore();
  return !error;
}

LogCall::Pairs LogCall::extra_pairs() const {
  Pairs pairs;
  if (extra == Py_None) return pairs;
  pairs.reserve(static_cast<std::size_t>(PyDict_GET_SIZE(extra)));
  PyObject* key = nullptr;
  PyObject* value = nullptr;
  Py_ssize_t at = 0;
  while (PyDict_Next(extra, &at, &key, &value)) {
    pairs.emplace_back(Ref::share(key), Ref::share(value));
  }
  return pairs;
}

// Whether nobody's code is run before the extras are written.
bool LogCall::runs_no_code() const {
  if (has_exception || !PyUnicode_CheckExact(msg)) return false;
  return std::all_of(args, args + count, [](PyObject* argument) {
    return PyUnicode_CheckExact(argument) || PyLong_CheckExact(argument);
  });
}

// Extras as they mostly are: short names, values that are written without running any code. False,
// and nothing is written, for others and where the record has become too long.
bool LogCall::write_plain_extra(RecordWriter& writer) const {
  if (extra == Py_None || PyDict_GET_SIZE(extra) == 0) return true;
  const std::size_t start = writer.json().size();
  writer.begin_extra();
  PyObject* key = nullptr;
  PyObject* value = nullptr;
  Py_ssize_t at = 0;
  bool written = true;
  bool first = true;
  while (written && PyDict_Next(extra, &at, &key, &value)) {
    const std::string_view encoded_key = state.attributes.extra_key(key);
    if (!std::exchange(first, false)) writer.json().verbatim(",");
    writer.json().verbatim(encoded_key);
    written = !encoded_key.empty() && write_plain_value(writer.json(), value);
  }
  writer.end_extra();
  if (written && !writer.full()) return true;
  writer.json().rollback(start);
  return false;
}

// ---- with a LogRecord

PyObject* LogCall::log_record(PyObject* logger_name) {
  PyObject* record = nullptr;
  {
    Identity identity;
    const Ref name = Ref::share(logger_name);  // as others may give the logger another one
    const Ref exception = exception_tuple();
    if (has_exception && !exception) return nullptr;
    if (!state.identities.read(identity)) return nullptr;
    record = build_record(logger_name, identity, now_ns(), exception.get()).release();
  }
  if (!record) {
    if (PyErr_Occurred() && PyErr_ExceptionMatches(PyExc_Exception)) PyErr_Clear();
    return nullptr;
  }
  PyObject* result = nullptr;
  {
    const BuiltRecord built(record);
    result = PyObject_CallMethodOneArg(logger, state.names[LogNames::handle], record);
  }
  Py_DECREF(record);
  if (!result) return nullptr;
  Py_DECREF(result);
  Py_RETURN_NONE;
}

// `exception`: what exc_info stands for; null: nothing.
Ref LogCall::build_record(PyObject* logger_name, const Identity& identity, std::int64_t time_ns,
                          PyObject* exception) const {
  const CallSite* const site = state.call_sites.find(stacklevel);
  if (!site) return {};
  const Ref stack = stack_info ? stack_text() : Ref::share(Py_None);
  const Ref tuple = Ref::steal(PyTuple_New(count));
  if (!stack || !tuple) return {};
  for (Py_ssize_t i = 0; i < count; ++i) PyTuple_SET_ITEM(tuple.get(), i, Py_NewRef(args[i]));
  Ref record = state.records.build({.name = logger_name,
                                    .level = level_number,
                                    .site = site,
                                    .msg = msg,
                                    .args = tuple.get(),
                                    .exc_info = exception ? exception : exc_info,
                                    .stack_info = stack.get(),
                                    .time_ns = time_ns,
                                    .identity = &identity});
  if (!record || extra == Py_None) return record;
  const Ref dict = Ref::steal(PyObject_GenericGetDict(record.get(), nullptr));
  if (!dict || PyDict_Update(dict.get(), extra) < 0) return {};
  return record;
}

// As Logger.findCaller() makes it.
Ref LogCall::stack_text() const {
  const Ref frame = state.call_sites.find_frame(PyEval_GetFrame(), stacklevel);
  return frame ? state.call_sites.stack_text(frame.get()) : Ref();
}

}  // namespace log_aggregator::python
