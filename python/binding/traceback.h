// TracebackFormatter makes the text of logging.Formatter.formatException(), the same to the last
// character, without running Python's traceback module where it can be had without.
//
// What a frame's lines say depends on where the frame stood and on its source, so that they are
// taken from the traceback module once and kept (frame_texts.h) for as long as the source is the
// same (source_check.h). Chains and folded recursion are put together here; so is the last line,
// but for errors with notes or suggestions and SyntaxErrors, whose last lines the module makes each
// time.
//
// Left to formatException() altogether: exception groups, sys.tracebacklimit, a traceback,
// linecache or Formatter.formatException that was patched, errors that are false, chains over
// kMaxChain, builds without the interpreter lock, and Pythons newer than those it is tested with.
// Not noticed: lines in linecache.cache that somebody changes there under the same time of change.
//
// One for the module. Needs the interpreter lock, and no Python error set. May run Python code
// (str() of an error, loaders, the traceback module), also such that comes here again.

#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "python/binding/frame_texts.h"
#include "python/binding/patch_watch.h"
#include "python/binding/reference.h"
#include "python/binding/source_check.h"
#include "python/binding/text.h"

namespace log_aggregator::python {

class TracebackFormatter {
 public:
  struct Stats {
    std::uint64_t formatted = 0;  // tracebacks
    std::uint64_t left = 0;       // to formatException()
    std::uint64_t rendered = 0;   // times that the traceback module was asked for a frame
    std::size_t kept = 0;         // texts of frames
  };
  static constexpr std::size_t kMaxChain = 64;

  // The text of (type, value, traceback) as UTF-8, lone surrogates as Utf8 has them. False: ask
  // formatException(). Never throws, leaves no Python error set.
  bool format(PyObject* exc_info, std::string& text, Interruption& interruption);

  // Whether this object's formatException() is what format() stands for.
  bool stands_for(PyObject* formatter, Interruption& interruption);

  Stats stats() const;

 private:
  bool prepare();
  bool watch(PyObject* logging, PyObject* traceback, PyObject* linecache);
  bool keep_objects(PyObject* logging, PyObject* traceback);

  bool write(PyObject* exc_info, std::string& text, Interruption& interruption);
  bool write_error(PyObject* error, PyObject* traceback, std::string& text,
                   Interruption& interruption);
  bool write_frames(PyObject* traceback, std::string& text, Interruption& interruption);
  bool write_last_lines(PyObject* error, PyObject* traceback, std::string& text) const;

  const FrameText* find_current(const FramePlace& place, SourceCheck& sources,
                                Interruption& interruption);
  bool render(PyObject* traceback, const FramePlace& place, const SourceCheck& sources,
              FrameText& made);

  PatchWatch watch_;
  bool watching_ = false;
  // Of the modules, as they were when they were found unpatched.
  Ref linecache_;  // the dict
  Ref format_exception_, extract_tb_, exception_class_;
  Ref cause_joint_, context_joint_;
  Ref last_lines_options_;

  FrameTexts texts_;
  std::uint64_t formatted_ = 0;
  std::uint64_t left_ = 0;
  std::uint64_t rendered_ = 0;
};

}  // namespace log_aggregator::python
