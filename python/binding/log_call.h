// LogCall: one call of a method of logging.Logger, and the ways it can take (accelerate.h).
//
// Everything in it is borrowed from the call's own arguments. The frames here that run code of
// others hold no Ref: such a thread may be unwound while the interpreter ends, see gil.h.

#pragma once

#include <utility>
#include <vector>

#include "python/binding/handler_base.h"
#include "python/binding/logger_view.h"
#include "python/binding/module_state.h"
#include "python/binding/reference.h"

namespace log_aggregator::python {

struct LogCall {
  ModuleState& state;
  PyObject* logger;
  PyObject* level_number;  // an int
  long level;
  PyObject* msg = nullptr;
  PyObject* const* args = nullptr;
  Py_ssize_t count = 0;
  PyObject* exc_info = Py_None;
  bool has_exception = false;  // exc_info stands for one
  PyObject* extra = Py_None;
  bool stack_info = false;
  int stacklevel = 1;

  // Whether a keyword is the name of an argument that the call has by position: logging raises
  // then, whether enabled or not.
  bool has_doubled_argument(PyObject* keywords) const;
  // False where a keyword is unknown or its value unusual.
  bool read_keywords(PyObject* const* values, PyObject* keywords);

  // Takes the fast way or the one with a record. Null without an error: neither can be taken, and
  // nothing has happened.
  PyObject* log(const LoggerTraits& traits, const LoggerView& view);

 private:
  using Pairs = std::vector<std::pair<Ref, Ref>>;

  // Who would see the record.
  struct Audience {
    enum class Who { nobody, ours, others } who = Who::nobody;
    HandlerObject* handler = nullptr;  // ours
  };

  bool read_exc_info(PyObject* value);
  // Whether the extras are such as logging lets into a record.
  bool extra_is_usual() const;
  // Around what may log itself, where guards_reentry().
  PyObject* begin_guard() const;
  void end_guard(PyObject* guard) const;
  // Whether encoding can neither fail nor run anybody's code.
  bool is_surely_quiet() const;
  Audience audience(const LoggerView& logger_view) const;
  bool has_own_handle(PyObject* handler) const;
  bool add_handlers(PyObject* list, Audience& audience, bool& found) const;
  PyObject* log_fast(HandlerObject* handler, PyObject* logger_name, PyObject* level_name);
  bool encode(Core& core, PyObject* logger_name, PyObject* level_name, struct Encoded& encoded,
              PyObject** failed_record);
  bool runs_no_code() const;
  bool write_plain_extra(RecordWriter& writer) const;
  Pairs extra_pairs() const;
  PyObject* log_record(PyObject* logger_name);
  Ref build_record(PyObject* logger_name, const Identity& identity, std::int64_t time_ns,
                   PyObject* exc_info) const;
  Ref exception_tuple() const;
  Ref stack_text() const;
  bool find_mapping(PyObject** mapping) const;
};

}  // namespace log_aggregator::python
