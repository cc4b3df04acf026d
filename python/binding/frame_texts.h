// FrameTexts keeps the lines that Python's traceback module wrote for frames, by where each stood.
//
// It owns what its keys name: a code object lives as long as its text, so that no other can come to
// stand at its address. Bounded: kSets sets of kWays each, in which the text that was not asked for
// the longest makes room; texts over kMaxTextBytes are not kept. Nearest to an LRU list without its
// links and allocations, and unlike one slot for each hash, no two frames of one traceback drive
// each other out for ever. Needs the interpreter lock.

#pragma once

#include <array>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "python/binding/reference.h"

namespace log_aggregator::python {

// One frame as a traceback names it. The instruction decides the carets; the line is that of the
// traceback object, which may be set by hand and counts where the code has none for the
// instruction.
struct FramePlace {
  PyObject* code = nullptr;
  int instruction = 0;
  int line = 0;
};

struct FrameText {
  static constexpr long kNoLine = LONG_MIN;

  Ref code;
  int instruction = 0;
  int line = 0;
  Ref source;                 // of SourceCheck: what the text was read from
  long shown_line = kNoLine;  // what the text gives as the line
  std::string text;

  bool is_at(const FramePlace& place) const {
    return code.get() == place.code && instruction == place.instruction && line == place.line;
  }
};

class FrameTexts {
 public:
  static constexpr std::size_t kSets = 256;
  static constexpr std::size_t kWays = 4;
  static constexpr std::size_t kMaxTextBytes = 4096;

  // Null where there is none. What is returned is valid until Python code runs or keep() is called.
  const FrameText* find(const FramePlace& place);
  // Takes the place of an older text for the same frame. May run Python code, as objects die.
  void keep(FrameText text);
  std::size_t count() const;

 private:
  struct Slot {
    FrameText text;
    std::uint64_t asked = 0;  // 0: empty
  };
  using Set = std::array<Slot, kWays>;

  Set& set_of(const FramePlace& place);

  std::vector<Set> sets_;  // none until the first text is kept
  std::uint64_t asked_ = 0;
};

}  // namespace log_aggregator::python
