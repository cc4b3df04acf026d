#include "src/base/memory_map.h"

#include <elf.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <utility>

#include "src/base/elf.h"
#include "src/testing/temporary_directory.h"

namespace log_aggregator {
namespace {

std::uintptr_t address_of(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer); }

std::optional<MemoryMap::Region> region_of(MemoryMap& map, std::uintptr_t address) {
  EXPECT_TRUE(map.open());
  MemoryMap::Region region;
  while (map.next(region)) {
    if (address >= region.begin && address < region.end) return region;
  }
  return std::nullopt;
}

TEST(MemoryMapTest, a_constant_lies_in_this_program) {
  static const char kConstant[] = "constant";
  MemoryMap map;
  const auto region = region_of(map, address_of(kConstant));
  ASSERT_TRUE(region);
  EXPECT_TRUE(region->readable);
  EXPECT_EQ(region->path, std::filesystem::read_symlink("/proc/self/exe").string());
  map.close();
}

// More lines than one reading takes, and what they end with.
TEST(MemoryMapTest, every_region_is_found_also_among_thousands) {
  constexpr std::size_t kPage = 4096;
  constexpr std::size_t kPages = 4000;
  void* const memory =
      ::mmap(nullptr, kPages * kPage, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  for (std::size_t i = 0; i < kPages; i += 2) {
    ::mprotect(static_cast<char*>(memory) + i * kPage, kPage, PROT_NONE);
  }
  MemoryMap map;
  for (const std::size_t page : {std::size_t{0}, kPages / 2, kPages - 1}) {
    const auto region = region_of(map, address_of(memory) + page * kPage);
    ASSERT_TRUE(region);
    EXPECT_EQ(region->end - region->begin, kPage);
    EXPECT_EQ(region->readable, page % 2 == 1);
    EXPECT_EQ(region->path, "");
  }
  map.close();
  ::munmap(memory, kPages * kPage);
}

// As a linker lays out a small file whose code does not begin on a page of its own: two regions of
// the file's first page.
TEST(MemoryMapTest, all_regions_of_a_file_know_where_it_begins) {
  constexpr std::size_t kPage = 4096;
  const testing::TemporaryDirectory directory;
  const std::string path = directory.path() + "/small";
  std::ofstream(path) << "head" << std::string(2 * kPage, '.');
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  auto* const memory =
      static_cast<char*>(::mmap(nullptr, 6 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  const auto map_page = [&](std::size_t at, int protection, std::size_t page) {
    ::mmap(memory + at * kPage, kPage, protection, MAP_PRIVATE | MAP_FIXED, file,
           static_cast<off_t>(page * kPage));
  };
  map_page(0, PROT_READ, 0);
  map_page(1, PROT_READ | PROT_EXEC, 0);
  map_page(2, PROT_READ, 1);
  map_page(3, PROT_READ | PROT_EXEC, 0);  // once more
  map_page(5, PROT_READ, 1);
  ::close(file);
  MemoryMap map;
  for (const auto& [page, begin] : {std::pair(0, 0), {1, 0}, {2, 0}, {3, 3}, {5, 3}}) {
    const auto region = region_of(map, address_of(memory + page * kPage));
    ASSERT_TRUE(region) << page;
    EXPECT_EQ(region->file_begin, address_of(memory + begin * kPage)) << page;
    EXPECT_EQ(region->file_head.substr(0, 4), "head") << page;
  }
  EXPECT_EQ(region_of(map, address_of(memory + 4 * kPage))->path, "");
  map.close();
  ::munmap(memory, 6 * kPage);
}

TEST(MemoryMapTest, a_process_that_may_open_no_more_files_can_still_read_it) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const int next = ::dup(STDOUT_FILENO);
  ::close(next);
  const rlimit none{.rlim_cur = static_cast<rlim_t>(next), .rlim_max = limit.rlim_max};
  ::setrlimit(RLIMIT_NOFILE, &none);
  MemoryMap map;
  const bool opened = map.open();
  rlimit after{};
  ::getrlimit(RLIMIT_NOFILE, &after);
  ::setrlimit(RLIMIT_NOFILE, &limit);
  EXPECT_EQ(after.rlim_cur, none.rlim_cur);
  ASSERT_TRUE(opened);
  MemoryMap::Region region;
  EXPECT_TRUE(map.next(region));
  map.close();
}

std::string file_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(ElfTest, a_file_and_its_memory_say_the_same) {
  const std::string file = file_bytes("/proc/self/exe");
  const auto in_file = read_elf(file);
  ASSERT_TRUE(in_file);
  MemoryMap map;
  ASSERT_TRUE(map.open());
  MemoryMap::Region region;
  const std::string program = std::filesystem::read_symlink("/proc/self/exe");
  do {
    ASSERT_TRUE(map.next(region));
  } while (region.path != program);
  const auto in_memory =
      read_elf({reinterpret_cast<const char*>(region.begin), region.end - region.begin});
  map.close();
  ASSERT_TRUE(in_memory);
  EXPECT_EQ(in_memory->first_address, in_file->first_address);
  EXPECT_EQ(in_memory->build_id, in_file->build_id);
}

TEST(ElfTest, a_build_id_is_found_and_so_is_the_first_address) {
  struct {
    Elf64_Ehdr header{};
    Elf64_Phdr parts[3]{};
    Elf64_Nhdr other{};
    char other_name[4] = {'G', 'N', 'U', 0};
    char other_text[4] = {1, 2, 3, 4};
    Elf64_Nhdr note{};
    char name[4] = {'G', 'N', 'U', 0};
    char text[4] = {'i', 'd', '5', 0};
  } file;
  std::memcpy(file.header.e_ident, ELFMAG, SELFMAG);
  file.header.e_ident[EI_CLASS] = ELFCLASS64;
  file.header.e_phoff = sizeof file.header;
  file.header.e_phentsize = sizeof(Elf64_Phdr);
  file.header.e_phnum = 3;
  file.parts[0].p_type = PT_LOAD;
  file.parts[0].p_vaddr = 0x400123;
  file.parts[1].p_type = PT_LOAD;
  file.parts[1].p_vaddr = 0x500000;
  file.parts[2].p_type = PT_NOTE;
  file.parts[2].p_offset = offsetof(decltype(file), other);
  file.parts[2].p_filesz = sizeof file - file.parts[2].p_offset;
  file.other = {.n_namesz = 4, .n_descsz = 4, .n_type = NT_GNU_ABI_TAG};
  file.note = {.n_namesz = 4, .n_descsz = 3, .n_type = NT_GNU_BUILD_ID};

  const std::string_view bytes(reinterpret_cast<const char*>(&file), sizeof file);
  const auto facts = read_elf(bytes);
  ASSERT_TRUE(facts);
  EXPECT_EQ(facts->first_address, 0x400000U);
  EXPECT_EQ(facts->build_id, "id5");
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const auto cut = read_elf(bytes.substr(0, size));
    EXPECT_EQ(cut.has_value(), size >= sizeof file.header) << size;
    EXPECT_TRUE(!cut || cut->build_id.empty()) << size;
  }
}

TEST(ElfTest, another_file_is_none) {
  EXPECT_FALSE(read_elf(""));
  EXPECT_FALSE(read_elf("#!/bin/sh\n"));
  EXPECT_FALSE(read_elf(std::string(200, '\0')));
}

}  // namespace
}  // namespace log_aggregator
