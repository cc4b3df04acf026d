// Symbols: makes functions and lines of the places in a crash record's stack, as far as addr2line
// of binutils knows them.
//
// A file is asked for the very build that has crashed only: where it is gone or was replaced since,
// places stay as they are, which can be looked up elsewhere.

#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace log_aggregator::cli {

// Of "#0 0x7f3a1c2d4e5f /usr/lib/libshop.so.1+0x4e5f (build-id 5f0c)".
struct StackPlace {
  std::string beginning;  // "#0 0x7f3a1c2d4e5f"
  std::string file;
  std::uint64_t offset = 0;
  std::string build_id;  // empty: not known
};

// None for a line that names no file.
std::optional<StackPlace> parse_stack_line(std::string_view line);

class Symbols {
 public:
  // The stack with what is known of each line; calls that were inlined there follow in lines of
  // their own.
  std::string of_stack(std::string_view stack);

  // Why something is not known, one line each.
  const std::set<std::string>& trouble() const { return trouble_; }

 private:
  using Offsets = std::set<std::uint64_t>;
  using Names = std::map<std::uint64_t, std::vector<std::string>>;  // by offset

  Names look_up(const std::string& file, const std::string& build_id, const Offsets& offsets);

  std::set<std::string> trouble_;
};

}  // namespace log_aggregator::cli
