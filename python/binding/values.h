// ValueWriter turns any Python object into JSON, and never fails.
//
//   str, int, float, bool, None, dict, list, tuple   as they are; NaN and infinities null
//   datetime, date, time                             isoformat()
//   UUID, Decimal, Path                              str()
//   Enum                                             its value
//   dataclass, Mapping                               an object
//   Sequence, Set                                    an array
//   anything else                                    its repr()
//
// A container within itself, one deeper than kMaxDepth and what would make the text much longer
// than `max_bytes` are cut, and say so. An object that raises becomes "<unprintable Foo:
// ValueError>"; KeyboardInterrupt and SystemExit do too, and are kept in the Interruption. Needs
// the interpreter lock.

#pragma once

#include <cstddef>
#include <string>
#include <unordered_set>

#include "log_aggregator/json_writer.h"
#include "python/binding/reference.h"
#include "python/binding/text.h"

namespace log_aggregator::python {

// The keys of one JSON object, none of which may come twice: {1: 'a', "1": 'b'} has two.
class ObjectKeys {
 public:
  // `distinct`: the keys differ in JSON as they do in Python, as in nearly every dict.
  ObjectKeys(JsonWriter& json, Interruption& interruption, bool distinct)
      : json_(json), interruption_(interruption), distinct_(distinct) {}
  void write(PyObject* key);
  void write(std::string_view name);
  // "<cut>": true, for all that would follow.
  void write_cut();

 private:
  JsonWriter& json_;
  Interruption& interruption_;
  const bool distinct_;
  std::unordered_set<std::string> seen_;  // as they stand in the JSON
};

class ValueWriter {
 public:
  static constexpr int kMaxDepth = 32;
  // `max_bytes`: of all that `json` holds, which may become longer by kOverrun at most.
  static constexpr std::size_t kOverrun = 2560;
  ValueWriter(JsonWriter& json, Interruption& interruption, std::size_t max_bytes)
      : json_(json), interruption_(interruption), max_bytes_(max_bytes) {}
  void write(PyObject* value);

 private:
  bool full() const { return json_.size() >= max_bytes_; }
  bool enter(PyObject* container);
  void leave() { --depth_; }

  void write_text(std::string_view utf8);
  void write_int(PyObject* value);
  void write_dict(PyObject* dict);
  void write_list(PyObject* list);
  void write_tuple(PyObject* tuple);

  void write_uncommon(PyObject* value);
  bool write_scalar_subclass(PyObject* value);
  bool write_library_type(PyObject* value);
  bool write_abstract_container(PyObject* value);
  void write_enum(PyObject* member);
  void write_dataclass(PyObject* instance);
  void write_mapping(PyObject* mapping);
  void write_iterable(PyObject* iterable);
  void write_method_result(PyObject* value, const char* method);

  JsonWriter& json_;
  Interruption& interruption_;
  const std::size_t max_bytes_;
  int depth_ = 0;
  PyObject* path_[kMaxDepth] = {};  // the open containers, borrowed from the frames that write them
};

// Whether `key` is a short ASCII str: such keys differ in JSON as they do in Python.
bool is_plain_key(PyObject* key);

}  // namespace log_aggregator::python
