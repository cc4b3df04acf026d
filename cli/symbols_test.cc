#include "cli/symbols.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace log_aggregator::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

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
  Symbols symbols;
  const std::string line = "#0 0x1 /proc/self/exe+0x2 (build-id 00)";
  EXPECT_EQ(symbols.of_stack(line), line);
  EXPECT_THAT(symbols.trouble(), ElementsAre("/proc/self/exe has been replaced since"));
}

}  // namespace
}  // namespace log_aggregator::cli
