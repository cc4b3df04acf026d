// TerminalLine: a line on standard error that stays in its place and is drawn again and again, as a
// progress bar is. Where standard error is no terminal that can do that, nothing is ever drawn.

#pragma once

#include <cstddef>
#include <string>

namespace log_aggregator::cli {

class TerminalLine {
 public:
  TerminalLine();

  bool there() const { return there_; }
  // How long a text may be.
  std::size_t columns() const;
  void draw(const std::string& text);
  // Before anything else is written.
  void clear();

 private:
  const bool there_;
  bool drawn_ = false;
};

}  // namespace log_aggregator::cli
