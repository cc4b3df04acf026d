#include "src/handler/crash_stack.h"

#include <unwind.h>

#include "src/base/elf.h"

namespace log_aggregator {
namespace {

// Where a thread was interrupted, and what it would look like inside the call that led there.
#if defined(__x86_64__)
std::uintptr_t pc_of(const ucontext_t& context) {
  return static_cast<std::uintptr_t>(context.uc_mcontext.gregs[REG_RIP]);
}
void return_to_caller(ucontext_t& context) {
  auto& registers = context.uc_mcontext.gregs;
  // NOLINTNEXTLINE(performance-no-int-to-ptr): registers hold numbers
  registers[REG_RIP] = *reinterpret_cast<const greg_t*>(registers[REG_RSP]) - 1;
  registers[REG_RSP] += sizeof(greg_t);
}
#elif defined(__aarch64__)
std::uintptr_t pc_of(const ucontext_t& context) { return context.uc_mcontext.pc; }
void return_to_caller(ucontext_t& context) {
  constexpr int kLinkRegister = 30;
  context.uc_mcontext.pc = context.uc_mcontext.regs[kLinkRegister] - 1;
}
#endif

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
  const std::uintptr_t pc = pc_of(interrupted);
  walk(pc);
  if (size_ == 0) add(pc);
  if (size_ > 1) return;
  const mcontext_t kept = interrupted.uc_mcontext;
  return_to_caller(interrupted);
  walk(pc_of(interrupted));
  interrupted.uc_mcontext = kept;
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
  MemoryMap::Region first;  // of the file that the region is of
  MemoryMap::Region region;
  while (map_.next(region)) {
    if (region.path.empty()) continue;
    if (region.file_offset == 0) first = region;
    for (std::size_t i = 0; i < size_; ++i) {
      Frame& frame = frames_[i];
      if (frame.address >= region.begin && frame.address < region.end) place(frame, region, first);
    }
  }
  map_.close();
}

void CrashStack::place(Frame& frame, const MemoryMap::Region& region,
                       const MemoryMap::Region& first) {
  FixedText text(frame.place.data(), frame.place.size());
  text.append(" ");
  text.append(region.path);
  text.append("+");
  text.hex(frame.address - first.begin);
  // NOLINTNEXTLINE(performance-no-int-to-ptr): so do lines of text
  const std::string_view beginning(reinterpret_cast<const char*>(first.begin),
                                   first.readable ? first.end - first.begin : 0);
  if (const auto facts = read_elf(beginning); facts && !facts->build_id.empty()) {
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
