// Splits text into words as the full-text index does, by SQLite's own tokenizer, so that what is
// found in the index and what a live stream lets through is the same.

#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace log_aggregator::collector {

// The tokenizer, as FTS5's option `tokenize` names it.
inline constexpr std::string_view kTokenizer = "unicode61 remove_diacritics 2";

// The words of a text in order, without case and diacritics. Keeps its memory from one text to the
// next.
class Words {
 public:
  // In place of those before.
  void split(std::string_view text);

  std::size_t size() const { return ends_.size(); }
  bool empty() const { return ends_.empty(); }
  std::string_view operator[](std::size_t index) const {
    const std::size_t begin = index == 0 ? 0 : ends_[index - 1];
    return std::string_view(text_).substr(begin, ends_[index] - begin);
  }

  void add(std::string_view word);

 private:
  std::string text_;  // all words, one after the other
  std::vector<std::size_t> ends_;
};

}  // namespace log_aggregator::collector
