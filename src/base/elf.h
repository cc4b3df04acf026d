// What the beginning of a program or a shared library says of it (ELF, 64 bits, of this machine's
// byte order), whether it was read from the file or lies in memory. Async-signal-safe, and safe
// with any bytes.

#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace log_aggregator {

struct ElfFacts {
  // The address at which it wants to be, which debuggers count from: 0 for shared libraries and
  // programs that may be anywhere.
  std::uint64_t first_address = 0;
  // What its linker knows this very build by; empty where there is none, or it lies further on.
  std::string_view build_id{};
};

// None where it is no such file. `bytes` must outlive the answer.
std::optional<ElfFacts> read_elf(std::string_view bytes);

}  // namespace log_aggregator
