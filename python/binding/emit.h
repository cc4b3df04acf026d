// A log call's record on its way through a Core: encoded, then handed over to the handler.
//
// Whatever a record's parts raise, it goes out; what was raised is set again afterwards, for the
// caller to deal with as logging does. Needs the interpreter lock.

#pragma once

#include <memory>
#include <string_view>

#include "python/binding/core.h"
#include "python/binding/module_state.h"
#include "python/binding/text.h"
#include "src/handler/record_writer.h"

namespace log_aggregator::python {

// A record's bytes, still in the writer that wrote them.
struct Encoded {
  std::unique_ptr<RecordWriter> writer;
  std::string_view json;
  int severity = 0;
  bool grew = false;

  // Takes what the writer holds as the record.
  void finish() {
    grew = writer->full();
    json = writer->finish();
  }
};

// `message`: what the handler's formatter made of the record, or None for what record.getMessage()
// does. `formatter` (or None) formats the exception. False with a Python error set; the record is
// encoded all the same, with a message that names the error.
bool encode_record(ModuleState& state, Core& core, PyObject* record, PyObject* message,
                   PyObject* formatter, Encoded& encoded);
// A record whose formatting raised `error`.
bool encode_unformatted(ModuleState& state, Core& core, PyObject* record, PyObject* error,
                        Encoded& encoded);
// What format_record() made of a record.
bool encode_custom(ModuleState& state, Core& core, PyObject* dict, PyObject* levelno,
                   Encoded& encoded);

// Called with what encoding raised still set: the record goes out first. A new reference to whether
// it was taken, or null with that error. No Ref may be alive in the calling frames of ours: it may
// wait, see gil.h.
PyObject* hand_over(Core& core, Encoded encoded, bool encoded_well);

}  // namespace log_aggregator::python
