#include "cli/terminal_line.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <utility>

namespace log_aggregator::cli {

namespace {

bool can_draw() {
  const char* terminal = std::getenv("TERM");
  const bool dumb = terminal != nullptr && std::string_view(terminal) == "dumb";
  return isatty(STDERR_FILENO) == 1 && !dumb;
}

}  // namespace

TerminalLine::TerminalLine() : there_(can_draw()) {}

std::size_t TerminalLine::columns() const {
  winsize size{};
  const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col - 1 : 79;
}

void TerminalLine::draw(const std::string& text) {
  if (!there_) return;
  std::fputs(("\r" + text + "\x1b[K").c_str(), stderr);
  drawn_ = true;
}

void TerminalLine::clear() {
  if (std::exchange(drawn_, false)) std::fputs("\r\x1b[K", stderr);
}

}  // namespace log_aggregator::cli
