// CrashStack: the calls that led to a crash, as places in files that can be looked up later.
//
//   #0 0x7f3a1c2d4e5f /usr/lib/libshop.so.1+0x4e5f (build-id 5f0c...)
//
// An address is that of the instruction, for calls a byte inside it. Behind the file stands how far
// from its beginning in memory that lies, and what its linker knows the build by. Frames of code
// that is in no file have the address alone.
//
// All of it is async-signal-safe once it was used outside a signal's handler, which loads what the
// unwinder needs. But a stack that is damaged may make it fault: the caller has to be ready for
// that. What was found until then stays. Large: keep it off small stacks.

#pragma once

#include <ucontext.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "src/base/fixed_text.h"
#include "src/base/memory_map.h"

namespace log_aggregator {

// Where a thread was interrupted: the instruction and its stack.
struct Interruption {
  std::uintptr_t pc = 0;
  std::uintptr_t sp = 0;
};
Interruption interruption_of(const ucontext_t& context);
void set_interruption(ucontext_t& context, const Interruption& interruption);

class CrashStack {
 public:
  static constexpr std::size_t kMostFrames = 64;

  void clear() { size_ = 0; }
  // The calls of the thread that was interrupted there, whose interruption may be another one
  // afterwards.
  void collect(ucontext_t& interrupted);
  // The calling thread's own, from the function that returns to `caller` on.
  void collect_from(const void* caller);
  // Finds out which files they are in.
  void resolve();

  std::size_t size() const { return size_; }
  // One line without its end.
  void write(std::size_t frame, FixedText& text) const;

 private:
  struct Frame {
    std::uintptr_t address = 0;
    std::size_t place_size = 0;
    std::array<char, 512> place{};  // the file and what follows
  };
  struct Walk;

  void walk(std::uintptr_t from);
  void add(std::uintptr_t address);
  void place(Frame& frame, const MemoryMap::Region& region);

  std::size_t size_ = 0;
  std::array<Frame, kMostFrames> frames_{};
  MemoryMap map_;
};

}  // namespace log_aggregator
