#include "python/binding/source_check.h"

#include <sys/stat.h>

#include <cstring>
#include <string_view>

namespace log_aggregator::python {
namespace {

// Entries of linecache.cache: (size, mtime, lines, path), or (function that returns the source,)
constexpr Py_ssize_t kLoadedEntry = 4;
constexpr Py_ssize_t kLazyEntry = 1;

std::string_view ascii_of(PyObject* text) {
  if (!PyUnicode_CheckExact(text) || !PyUnicode_IS_COMPACT_ASCII(text)) return {};
  return {static_cast<const char*>(PyUnicode_DATA(text)),
          static_cast<std::size_t>(PyUnicode_GET_LENGTH(text))};
}

bool is_in_brackets(std::string_view name) {
  return name.size() > 1 && name.front() == '<' && name.back() == '>';
}

bool starts_in_brackets(PyObject* name) {
  return PyUnicode_GET_LENGTH(name) > 0 && PyUnicode_READ_CHAR(name, 0) == '<';
}

// os.stat(): False where that would raise. An error of Python's may be left set.
bool read_status(PyObject* path, struct stat& status) {
  const std::string_view ascii = ascii_of(path);
  if (!ascii.empty()) {
    return ascii.find('\0') == std::string_view::npos && stat(ascii.data(), &status) == 0;
  }
  PyObject* encoded = nullptr;
  if (!PyUnicode_FSConverter(path, &encoded)) return false;
  const Ref bytes = Ref::steal(encoded);
  return stat(PyBytes_AS_STRING(encoded), &status) == 0;
}

// As os.stat() makes st_mtime, which linecache compares.
double modified(const struct stat& status) {
  return static_cast<double>(status.st_mtim.tv_sec) +
         1e-9 * static_cast<double>(status.st_mtim.tv_nsec);
}

bool is_file_unchanged(PyObject* entry) {
  PyObject* const size = PyTuple_GET_ITEM(entry, 0);
  struct stat status = {};
  return PyLong_CheckExact(size) && read_status(PyTuple_GET_ITEM(entry, 3), status) &&
         PyLong_AsLongLong(size) == status.st_size &&
         PyFloat_AS_DOUBLE(PyTuple_GET_ITEM(entry, 1)) == modified(status);
}

bool has_no_source(PyObject* lazy_entry) {
  const Ref function = Ref::share(PyTuple_GET_ITEM(lazy_entry, 0));
  return Ref::steal(PyObject_CallNoArgs(function.get())).get() == Py_None;
}

bool is_missing(PyObject* path) {
  struct stat status = {};
  return !read_status(path, status);
}

}  // namespace

SourceCheck::SourceCheck(PyObject* linecache)
    : entries_(Ref::share(PyDict_GetItemString(linecache, "cache"))) {
  PyObject* const interactive = PyDict_GetItemString(linecache, "_interactive_cache");
  has_interactive_code_ = interactive && PyObject_IsTrue(interactive) != 0;
  PyErr_Clear();
}

PyObject* SourceCheck::entry_of(PyObject* filename) const {
  PyObject* const entry = PyDict_GetItemWithError(entries_.get(), filename);
  if (!entry) PyErr_Clear();
  return entry;
}

Ref SourceCheck::version_of(PyObject* filename) const {
  if (!entries_ || !PyDict_CheckExact(entries_.get()) || !PyUnicode_CheckExact(filename)) return {};
  if (has_interactive_code_ && starts_in_brackets(filename)) return {};
  const std::string_view name = ascii_of(filename);
  PyObject* const entry = entry_of(filename);
  if (!entry) {
    // By any other name linecache looks for a file, in sys.path or in archives, too.
    const bool has_none = is_in_brackets(name) && !name.starts_with("<frozen ");
    return has_none ? Ref::share(Py_None) : Ref();
  }
  if (!PyTuple_CheckExact(entry)) return {};
  if (PyTuple_GET_SIZE(entry) == kLazyEntry) return Ref::share(entry);
  if (PyTuple_GET_SIZE(entry) != kLoadedEntry) return {};
  // Each time a file is read makes another float. To keep it, and not the entry, keeps no source.
  PyObject* const mtime = PyTuple_GET_ITEM(entry, 1);
  if (PyFloat_CheckExact(mtime)) return Ref::share(mtime);
  return mtime == Py_None ? Ref::share(entry) : Ref();
}

bool SourceCheck::is_current(PyObject* version, PyObject* filename, Interruption& interruption) {
  if (!version) return false;
  for (const auto& [known, name] : current_) {
    if (known.get() == version && name.get() == filename) return true;
  }
  const bool current = version_of(filename).get() == version && is_unchanged(version, filename);
  if (PyErr_Occurred()) interruption.take();
  if (current) current_.emplace_back(Ref::share(version), Ref::share(filename));
  return current;
}

bool SourceCheck::is_unchanged(PyObject* version, PyObject* filename) const {
  if (version == Py_None) return true;
  if (PyFloat_CheckExact(version)) return is_file_unchanged(entry_of(filename));
  if (PyTuple_GET_SIZE(version) == kLoadedEntry) return true;  // a loader's, which never change
  return is_missing(filename) && has_no_source(version);
}

}  // namespace log_aggregator::python
