#include "python/binding/emit.h"

#include <optional>
#include <utility>

#include "python/binding/gil.h"

namespace log_aggregator::python {
namespace {

RecordEncoder encoder_of(ModuleState& state, const Core& core) {
  return RecordEncoder(state, core.level_map.get(), core.handler->options().max_record_bytes);
}

}  // namespace

bool encode_record(ModuleState& state, Core& core, PyObject* record, PyObject* message,
                   PyObject* formatter, Encoded& encoded) {
  Interruption interruption;
  std::optional<SavedError> error;
  encoded.writer = core.take_writer();
  encoded.severity = encoder_of(state, core)
                         .write(*encoded.writer, record, message == Py_None ? nullptr : message,
                                formatter, interruption, error);
  encoded.finish();
  if (interruption.restore()) return false;
  if (error) error->restore();
  return !error;
}

bool encode_unformatted(ModuleState& state, Core& core, PyObject* record, PyObject* error,
                        Encoded& encoded) {
  Interruption interruption;
  encoded.writer = core.take_writer();
  encoded.severity =
      encoder_of(state, core).write_unformatted(*encoded.writer, record, error, interruption);
  encoded.finish();
  return !interruption.restore();
}

bool encode_custom(ModuleState& state, Core& core, PyObject* dict, PyObject* levelno,
                   Encoded& encoded) {
  Interruption interruption;
  encoded.writer = core.take_writer();
  encoder_of(state, core).write_custom(*encoded.writer, dict, interruption);
  encoded.grew = encoded.writer->full();
  encoded.json = encoded.writer->finish_custom();
  encoded.severity = severity_of(levelno, interruption);
  return !interruption.restore();
}

PyObject* hand_over(Core& core, Encoded encoded, bool encoded_well) {
  PyObject* type = nullptr;
  PyObject* value = nullptr;
  PyObject* traceback = nullptr;
  if (!encoded_well) PyErr_Fetch(&type, &value, &traceback);
  std::optional<bool> taken = core.handler->try_log_json(encoded.severity, encoded.json);
  if (!taken) {
    taken = without_gil([&] { return core.handler->log_json(encoded.severity, encoded.json); });
  }
  core.give_back(std::move(encoded.writer), encoded.grew);
  if (!encoded_well) {
    PyErr_Restore(type, value, traceback);
    return nullptr;
  }
  return PyBool_FromLong(*taken ? 1 : 0);
}

}  // namespace log_aggregator::python
