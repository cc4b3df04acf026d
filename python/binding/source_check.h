// SourceCheck says whether the source of a frame is what it was when its text was made: what
// traceback asks linecache.checkcache() for each time it formats.
//
// One for each traceback: like linecache, it asks the file system once for each file (size and time
// of change, with the interpreter lock held). What it does not know how to check is never current.

#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "python/binding/reference.h"
#include "python/binding/text.h"

namespace log_aggregator::python {

class SourceCheck {
 public:
  // `linecache`: the module's dict, borrowed.
  explicit SourceCheck(PyObject* linecache);

  // Stands for what linecache has under this name now: the same object only for the same content.
  // None: no source is to be had by this name. Null: it cannot be told.
  Ref version_of(PyObject* filename) const;

  // Whether linecache would still give what version_of() stood for. Loaders without source are
  // asked again, which may run Python code.
  bool is_current(PyObject* version, PyObject* filename, Interruption& interruption);

 private:
  PyObject* entry_of(PyObject* filename) const;
  bool is_unchanged(PyObject* version, PyObject* filename) const;

  Ref entries_;                // linecache.cache
  bool has_interactive_code_;  // source of what was typed in or given with -c, since Python 3.13
  std::vector<std::pair<Ref, Ref>> current_;  // versions, and of which file
};

}  // namespace log_aggregator::python
