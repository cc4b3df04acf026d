// The message of a record, str(msg) % args as record.getMessage() makes it, written straight into
// the record: the common conversions (%s, %d, %i, %r, %%) without making the text first, any other
// by Python. Needs the interpreter lock.

#pragma once

#include "log_aggregator/record_writer.h"
#include "python/binding/reference.h"

namespace log_aggregator::python {

// A log call's msg, and what it is formatted with: positional arguments, or one mapping. All
// borrowed.
struct Message {
  PyObject* msg = nullptr;
  PyObject* const* args = nullptr;
  Py_ssize_t count = 0;
  PyObject* mapping = nullptr;  // in place of args
};

// Reads a record's msg and args. False where they have another form than logging gives them.
bool read_message(PyObject* msg, PyObject* args, Message& message);

// False with the Python error set that formatting raised; then nothing has been written. What the
// arguments' own methods do is done once.
bool write_message(RecordWriter& writer, const Message& message);

}  // namespace log_aggregator::python
