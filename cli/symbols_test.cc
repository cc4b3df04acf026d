#include "cli/symbols.h"

#include <elf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include "src/base/elf.h"
#include "src/base/fixed_text.h"
#include "src/base/memory_map.h"
#include "src/testing/temporary_directory.h"

namespace log_aggregator::cli {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;

TEST(StackLineTest, a_line_is_taken_apart) {
  const auto place = parse_stack_line("#3 0x7f00 /usr/lib/my lib+0x1.so+0x4e5f (build-id 5f0c)");
  ASSERT_TRUE(place);
  EXPECT_EQ(place->beginning, "#3 0x7f00");
  EXPECT_EQ(place->file, "/usr/lib/my lib+0x1.so");
  EXPECT_EQ(place->offset, 0x4e5fU);
  EXPECT_EQ(place->build_id, "5f0c");
}

TEST(StackLineTest, a_build_id_may_be_missing) {
  const auto place = parse_stack_line("#0 0x1 /a+0x2");
  ASSERT_TRUE(place);
  EXPECT_EQ(place->file, "/a");
  EXPECT_EQ(place->build_id, "");
}

TEST(StackLineTest, what_names_no_file_is_none) {
  for (const char* line :
       {"", "#0", "#0 0x1", "#0 0x1 [vdso]+0x2", "#0 0x1 /a", "#0 0x1 /a+2", "#0 0x1 /a+0xg",
        "#0+0x1 /a", "File \"a.py\", line 3, in f", " (build-id ", "#0 0x1 /a+0x (build-id 1)"}) {
    EXPECT_FALSE(parse_stack_line(line)) << line;
  }
}

TEST(SymbolsTest, what_is_no_place_stays_as_it_is) {
  Symbols symbols;
  EXPECT_EQ(symbols.of_stack("#0 0x1\nFile \"a.py\", line 3"), "#0 0x1\nFile \"a.py\", line 3");
  EXPECT_THAT(symbols.trouble(), IsEmpty());
}

TEST(SymbolsTest, a_file_that_is_gone_leaves_the_offset_and_is_named) {
  Symbols symbols;
  EXPECT_EQ(symbols.of_stack("#0 0x1 /no/such/file+0x2"), "#0 0x1 /no/such/file+0x2");
  EXPECT_THAT(symbols.trouble(), ElementsAre("/no/such/file is gone"));
}

TEST(SymbolsTest, another_build_of_a_file_is_not_asked) {
  for (const std::string id : {" (build-id 00)", ""}) {
    Symbols symbols;
    const std::string line = "#0 0x1 /proc/self/exe+0x2" + id;
    EXPECT_EQ(symbols.of_stack(line), line);
    EXPECT_THAT(symbols.trouble(), ElementsAre("/proc/self/exe has been replaced since"));
  }
}

TEST(SymbolsTest, a_file_that_does_not_tell_its_build_is_asked_and_named) {
  const testing::TemporaryDirectory directory;
  const std::string path = directory.path() + "/program";
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_phentsize = sizeof(Elf64_Phdr);
  std::ofstream(path).write(reinterpret_cast<const char*>(&header), sizeof header);
  Symbols symbols;
  symbols.of_stack("#0 0x1 " + path + "+0x2");
  EXPECT_THAT(symbols.trouble(),
              Contains(path + " has no build-id: names are those of the file as it is now"));
}

// ---- of this very program

extern "C" [[gnu::noinline]] void log_aggregator_symbols_test() { asm volatile(""); }

// A line of a crash record, for that function.
std::string line_of_this_program() {
  const auto address = reinterpret_cast<std::uintptr_t>(&log_aggregator_symbols_test);
  MemoryMap map;
  MemoryMap::Region region;
  EXPECT_TRUE(map.open());
  const std::string program = std::filesystem::read_symlink("/proc/self/exe");
  while (map.next(region) && region.path != program) {
  }
  std::string memory(1000, '?');
  FixedText text(memory.data(), memory.size());
  text.append("#0 0x1 ");
  text.append(region.path);
  text.append("+");
  text.hex(address - region.file_begin);
  text.append(" (build-id ");
  text.hex_bytes(read_elf(region.file_head).value_or(ElfFacts{}).build_id);
  text.append(")");
  map.close();
  return std::string(text.view());
}

TEST(SymbolsTest, a_place_in_a_program_becomes_its_function) {
  Symbols symbols;
  const std::string text = symbols.of_stack(line_of_this_program());
  if (!symbols.trouble().empty()) GTEST_SKIP() << *symbols.trouble().begin();
  EXPECT_THAT(text, MatchesRegex("#0 0x1 (/.* near )?log_aggregator_symbols_test.*"));
}

TEST(SymbolsTest, without_addr2line_it_is_said_what_to_install) {
  const char* const path = std::getenv("PATH");
  const std::string kept = path == nullptr ? "" : path;
  ::setenv("PATH", "/nowhere", 1);
  Symbols symbols;
  const std::string line = line_of_this_program();
  EXPECT_EQ(symbols.of_stack(line), line);
  EXPECT_THAT(symbols.trouble(),
              ElementsAre("addr2line is not there: install binutils to see functions and lines"));
  ::setenv("PATH", kept.c_str(), 1);
}

}  // namespace
}  // namespace log_aggregator::cli
