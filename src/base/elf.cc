#include "src/base/elf.h"

#include <elf.h>

#include <cstddef>
#include <cstring>

namespace log_aggregator {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::string_view kGnu("GNU\0", 4);

template <typename T>
bool read_at(std::string_view bytes, std::uint64_t offset, T& value) {
  if (offset > bytes.size() || bytes.size() - offset < sizeof value) return false;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return true;
}

constexpr std::uint64_t aligned(std::uint32_t bytes) { return (std::uint64_t{bytes} + 3) / 4 * 4; }

std::string_view build_id_in(std::string_view notes) {
  Elf64_Nhdr note{};
  while (read_at(notes, 0, note)) {
    const std::uint64_t name = sizeof note;
    const std::uint64_t text = name + aligned(note.n_namesz);
    const std::uint64_t end = text + aligned(note.n_descsz);
    if (end > notes.size()) return {};
    if (note.n_type == NT_GNU_BUILD_ID && notes.substr(name, note.n_namesz) == kGnu) {
      return notes.substr(text, note.n_descsz);
    }
    notes.remove_prefix(end);
  }
  return {};
}

}  // namespace

std::optional<ElfFacts> read_elf(std::string_view bytes) {
  Elf64_Ehdr header{};
  if (!read_at(bytes, 0, header) || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
      header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_phentsize != sizeof(Elf64_Phdr)) {
    return std::nullopt;
  }
  ElfFacts facts;
  bool loaded = false;
  for (std::uint64_t i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr part{};
    if (!read_at(bytes, header.e_phoff + i * sizeof part, part)) break;
    if (part.p_type == PT_LOAD && !loaded) {
      facts.first_address = part.p_vaddr / kPage * kPage;
      loaded = true;
    }
    if (part.p_type == PT_NOTE && facts.build_id.empty() && part.p_offset < bytes.size()) {
      facts.build_id = build_id_in(bytes.substr(part.p_offset, part.p_filesz));
    }
  }
  return facts;
}

}  // namespace log_aggregator
