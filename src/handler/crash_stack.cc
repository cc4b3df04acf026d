#include "src/handler/crash_stack.h"

#include <unwind.h>

#include "src/base/elf.h"

namespace log_aggregator {

#if defined(__x86_64__)
Interruption interruption_of(const ucontext_t& context) {
  const auto& registers = context.uc_mcontext.gregs;
  return {static_cast<std::uintptr_t>(registers[REG_RIP]),
          static_cast<std::uintptr_t>(registers[REG_RSP])};
}
void set_interruption(ucontext_t& context, const Interruption& interruption) {
  context.uc_mcontext.gregs[REG_RIP] = static_cast<greg_t>(interruption.pc);
  context.uc_mcontext.gregs[REG_RSP] = static_cast<greg_t>(interruption.sp);
}
#elif defined(__aarch64__)
Interruption interruption_of(const ucontext_t& context) {
  return {context.uc_mcontext.pc, context.uc_mcontext.sp};
}
void set_interruption(ucontext_t& context, const Interruption& interruption) {
  context.uc_mcontext.pc = interruption.pc;
  context.uc_mcontext.sp = interruption.sp;
}
#endif

namespace {

// Inside the call that has just been made.
Interruption caller_of(const ucontext_t& callee) {
#if defined(__x86_64__)
  const std::uintptr_t sp = interruption_of(callee).sp;
  // NOLINTNEXTLINE(performance-no-int-to-ptr): registers hold numbers
  return {*reinterpret_cast<const std::uintptr_t*>(sp) - 1, sp + sizeof(std::uintptr_t)};
#elif defined(__aarch64__)
  constexpr int kLinkRegister = 30;
  return {callee.uc_mcontext.regs[kLinkRegister] - 1, callee.uc_mcontext.sp};
#endif
}

}  // namespace

struct CrashStack::Walk {
  CrashStack& stack;
  const std::uintptr_t from;
  bool begun = false;

  static _Unwind_Reason_Code step(_Unwind_Context* context, void* argument) {
    auto& walk = *static_cast<Walk*>(argument);
    int interrupted = 0;
    const std::uintptr_t ip = _Unwind_GetIPInfo(context, &interrupted);
    walk.begun |= ip == walk.from;
    if (!walk.begun) return _URC_NO_REASON;
    if (ip == 0 && interrupted == 0) return _URC_END_OF_STACK;  // what a thread's first call is in
    walk.stack.add(interrupted != 0 ? ip : ip - 1);
    return walk.stack.size_ < kMostFrames ? _URC_NO_REASON : _URC_END_OF_STACK;
  }
};

void CrashStack::walk(std::uintptr_t from) {
  Walk walk{.stack = *this, .from = from};
  _Unwind_Backtrace(&Walk::step, &walk);
}

// A call through a bad pointer has left the thread where no code is, which nothing is known of: its
// caller is found as if it returned from there.
void CrashStack::collect(ucontext_t& interrupted) {
  const std::uintptr_t pc = interruption_of(interrupted).pc;
  walk(pc);
  if (size_ == 0) add(pc);
  if (size_ > 1) return;
  const Interruption caller = caller_of(interrupted);
  set_interruption(interrupted, caller);
  walk(caller.pc);
}

void CrashStack::collect_from(const void* caller) {
  walk(reinterpret_cast<std::uintptr_t>(caller));
}

void CrashStack::add(std::uintptr_t address) {
  frames_[size_].address = address;
  frames_[size_].place_size = 0;
  ++size_;
}

// Only files that a frame is in are looked into: reading others may fault, or wake a device.
void CrashStack::resolve() {
  if (!map_.open()) return;
  MemoryMap::Region region;
  while (map_.next(region)) {
    if (region.path.empty()) continue;
    for (std::size_t i = 0; i < size_; ++i) {
      Frame& frame = frames_[i];
      if (frame.address >= region.begin && frame.address < region.end) place(frame, region);
    }
  }
  map_.close();
}

void CrashStack::place(Frame& frame, const MemoryMap::Region& region) {
  FixedText text(frame.place.data(), frame.place.size());
  text.append(" ");
  text.append(region.path);
  text.append("+");
  text.hex(frame.address - region.file_begin);
  if (const auto facts = read_elf(region.file_head); facts && !facts->build_id.empty()) {
    text.append(" (build-id ");
    text.hex_bytes(facts->build_id);
    text.append(")");
  }
  frame.place_size = text.overflowed() ? 0 : text.view().size();
}

void CrashStack::write(std::size_t frame, FixedText& text) const {
  text.append("#");
  text.number(std::uint64_t{frame});
  text.append(" ");
  text.hex(frames_[frame].address);
  text.append({frames_[frame].place.data(), frames_[frame].place_size});
}

}  // namespace log_aggregator
