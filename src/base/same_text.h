// Whether two short texts are the same, for names that are looked up with each record: without the
// call that comparing strings makes.

#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace log_aggregator {

// Compares the first and the last bytes of a Word's size, which may overlap.
template <typename Word>
bool same_ends(std::string_view a, std::string_view b) {
  const auto word_at = [](std::string_view text, std::size_t position) {
    Word word = 0;
    std::memcpy(&word, text.data() + position, sizeof word);
    return word;
  };
  const std::size_t last = a.size() - sizeof(Word);
  return word_at(a, 0) == word_at(b, 0) && word_at(a, last) == word_at(b, last);
}

inline bool same_text(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  if (a.size() >= 4 && a.size() <= 8) return same_ends<std::uint32_t>(a, b);
  if (a.size() > 8 && a.size() <= 16) return same_ends<std::uint64_t>(a, b);
  return a == b;
}

}  // namespace log_aggregator
