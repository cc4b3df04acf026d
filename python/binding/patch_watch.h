// PatchWatch says whether modules of the standard library, whose work is done here in C++, are
// still as they came: applications replace functions in them, and want theirs to be called.
//
// It keeps what the modules and their classes held, and compares by identity. A module that
// somebody else's function stands in from the start is not watched. Needs the interpreter lock;
// leaves no Python error set.

#pragma once

#include <initializer_list>
#include <vector>

#include "python/binding/reference.h"

namespace log_aggregator::python {

class PatchWatch {
 public:
  // Functions, classes and constants of a module, and all that is in those of its classes that are
  // named. False where one of them is not its own: then nothing of it counts as watched.
  bool add_module(PyObject* module, std::initializer_list<const char*> classes);
  // A function of `module` in the dict of one of its classes, or an object that it has imported.
  bool add_function(PyObject* module, PyObject* holder_dict, const char* name);
  void add_value(PyObject* holder_dict, PyObject* name, PyObject* value);

  bool is_unchanged() const;
  void clear() { watched_.clear(); }

 private:
  bool add_class(PyObject* module_dict, const char* name);

  struct Watched {
    Ref dict;
    Ref name;
    Ref value;
  };
  std::vector<Watched> watched_;
};

}  // namespace log_aggregator::python
