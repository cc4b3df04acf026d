#include "cli/send_input.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "src/base/text.h"

namespace log_aggregator::cli {

namespace {

// As much is read to find out what an input is, if its first line is that long.
constexpr std::size_t kDetectBytes = 64 << 10;
// How long a pipe is waited for.
constexpr int kPollMs = 100;

constexpr std::string_view kBlanks = " \t\r\n";
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
constexpr std::array<std::string_view, 4> kNames = {"lines", "ndjson", "array", "objects"};

// Of what goes on behind blanks; 0: nothing does.
char first_of(std::string_view text) {
  const auto at = text.find_first_not_of(kBlanks);
  return at == std::string_view::npos ? '\0' : text[at];
}

std::string_view first_line(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
  return trim_blanks(text.substr(0, text.find('\n')));
}

bool is_one_object(std::string_view line) {
  ValueScanner scanner;
  const auto end = scanner.find_end(line, false);
  return end && end->text == line.size();
}

Status read_failure() {
  return Status::unavailable(std::string("cannot be read: ") + std::strerror(errno));
}

}  // namespace

std::string_view input_format_name(InputFormat format) {
  return kNames[static_cast<std::size_t>(format)];
}

std::optional<InputFormat> input_format_named(std::string_view name) {
  const auto found = std::find(kNames.begin(), kNames.end(), name);
  if (found == kNames.end()) return std::nullopt;
  return static_cast<InputFormat>(found - kNames.begin());
}

InputFormat detect_format(std::string_view beginning, FormatChoice choice) {
  if (choice == FormatChoice::lines) return InputFormat::lines;
  if (choice == FormatChoice::ndjson) return InputFormat::ndjson;
  const char first = first_of(beginning);
  const char second =
      first_of(beginning.substr(std::min(beginning.find(first) + 1, beginning.size())));
  if (choice == FormatChoice::json) {
    return first == '[' ? InputFormat::array : InputFormat::objects;
  }
  if (first == '[' && (second == '{' || second == ']')) return InputFormat::array;
  if (first != '{' || (second != '"' && second != '}')) return InputFormat::lines;
  return is_one_object(first_line(beginning)) ? InputFormat::ndjson : InputFormat::objects;
}

// ---- ValueScanner

std::optional<TextEnd> ValueScanner::find_end(std::string_view more, bool in_array) {
  for (std::size_t at = 0; at < more.size(); ++at) {
    if (auto end = step(more[at], at, in_array)) {
      *this = {};
      return end;
    }
  }
  return std::nullopt;
}

std::optional<TextEnd> ValueScanner::step(char c, std::size_t at, bool in_array) {
  if (in_string_) {
    in_string_ = escaped_ || c != '"';
    escaped_ = !escaped_ && c == '\\';
    return std::nullopt;
  }
  const bool opens = c == '{' || c == '[';
  const bool closes = c == '}' || c == ']';
  if (depth_ == 0 && in_array && (c == ',' || c == ']')) return TextEnd{at, at + 1};
  if (depth_ == 0 && !in_array && c == '\n') return TextEnd{at, at + 1};
  in_string_ = c == '"';
  if (opens) ++depth_;
  if (closes && depth_ > 0 && --depth_ == 0 && !in_array) return TextEnd{at + 1, at + 1};
  return std::nullopt;
}

// ---- SendInput

SendInput::SendInput(int descriptor, FormatChoice choice, std::size_t read_bytes)
    : descriptor_(descriptor), read_bytes_(read_bytes), choice_(choice) {}

SendInput::SendInput(int descriptor, InputFormat format, InputPlace from, std::uint64_t until,
                     std::size_t read_bytes)
    : descriptor_(descriptor),
      read_bytes_(read_bytes),
      choice_(FormatChoice::automatic),
      until_(until),
      format_(format),
      place_(from),
      base_(from.offset) {}

Result<InputText> SendInput::next() {
  auto filled = Filled::more;
  if (!begun_) {
    if (Status begun = begin(filled); !begun.ok()) return begun;
    if (filled == Filled::nothing_yet) return InputText{.kind = InputText::Kind::nothing_yet};
  }
  while (!ended_) {
    if (auto text = cut()) {
      if (is_nothing(*text)) continue;
      return *text;
    }
    drop_excess();
    auto more = fill();
    if (!more.ok()) return more.status();
    if (*more == Filled::nothing_yet) return InputText{.kind = InputText::Kind::nothing_yet};
    if (*more == Filled::end) return take_rest();
  }
  return InputText{.behind = place_};
}

// A line without anything, or an array without any element.
bool SendInput::is_nothing(const InputText& text) const {
  const bool may_be = *format_ != InputFormat::array || (closed_ && text.behind.number == 1);
  return may_be && text.kind == InputText::Kind::whole && trim_blanks(text.text).empty();
}

// What has to be known before the first text is cut.
Status SendInput::begin(Filled& filled) {
  if (format_ == InputFormat::array && place_.offset > 0) {
    char before = 0;
    if (::pread(descriptor_, &before, 1, static_cast<off_t>(place_.offset - 1)) != 1) {
      return read_failure();
    }
    opened_ = true;
    closed_ = before == ']';
  }
  while (place_.offset == 0 && !shows_format()) {
    auto more = fill();
    if (!more.ok()) return more.status();
    filled = *more;
    if (filled == Filled::nothing_yet) return {};
    if (filled == Filled::end) break;
  }
  if (place_.offset == 0 && unread().substr(0, kByteOrderMark.size()) == kByteOrderMark) {
    begin_ = scanned_ = kByteOrderMark.size();
  }
  if (!format_) format_ = detect_format(unread(), choice_);
  begun_ = true;
  return {};
}

// Whether enough was read to find the format, and a byte order mark.
bool SendInput::shows_format() const {
  const std::string_view text = unread();
  const auto first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return text.size() >= kDetectBytes;
  return text.find('\n', first) != std::string_view::npos || text.size() >= kDetectBytes;
}

Result<SendInput::Filled> SendInput::fill() {
  buffer_.erase(0, begin_);
  base_ += begin_;
  scanned_ -= begin_;
  begin_ = 0;
  const std::size_t before = buffer_.size();
  const std::uint64_t at = base_ + before + dropped_;
  const std::uint64_t left = until_ ? *until_ - at : read_bytes_;
  if (left == 0) return Filled::end;
  if (!until_ && !is_readable()) return Filled::nothing_yet;
  buffer_.resize(before + std::min<std::uint64_t>(read_bytes_, left));
  const ssize_t count = read_at(at, buffer_.data() + before, buffer_.size() - before);
  buffer_.resize(before + static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
  if (count < 0) return read_failure();
  if (count > 0) return Filled::more;
  if (until_) return Status::unavailable("became shorter while it was read");
  return Filled::end;
}

ssize_t SendInput::read_at(std::uint64_t offset, char* into, std::size_t most) const {
  while (true) {
    const ssize_t count = until_ ? ::pread(descriptor_, into, most, static_cast<off_t>(offset))
                                 : ::read(descriptor_, into, most);
    if (count >= 0 || errno != EINTR) return count;
  }
}

bool SendInput::is_readable() const {
  pollfd readable{.fd = descriptor_, .events = POLLIN, .revents = 0};
  return ::poll(&readable, 1, kPollMs) != 0;
}

// The next text, where all of it is in the buffer.
std::optional<InputText> SendInput::cut() {
  const bool values = *format_ == InputFormat::array || *format_ == InputFormat::objects;
  if (values && scanned_ == begin_ && !skip_to_value()) return std::nullopt;
  if (closed_) return say_broken();
  const std::string_view more = std::string_view(buffer_).substr(scanned_);
  std::optional<TextEnd> end;
  if (values) {
    end = value_.find_end(more, *format_ == InputFormat::array);
  } else if (const auto at = more.find('\n'); at != std::string_view::npos) {
    end = TextEnd{at, at + 1};
  }
  if (!end) {
    scanned_ = buffer_.size();
    return std::nullopt;
  }
  return take({scanned_ + end->text, scanned_ + end->closed}, true);
}

// Over blanks and the bracket that opens an array. False where nothing else is in the buffer.
bool SendInput::skip_to_value() {
  while (true) {
    begin_ = scanned_ = std::min(buffer_.find_first_not_of(kBlanks, begin_), buffer_.size());
    if (begin_ == buffer_.size()) return false;
    if (*format_ == InputFormat::objects || std::exchange(opened_, true)) return true;
    ++begin_;
  }
}

// Of a text that is too long only the beginning is kept.
void SendInput::drop_excess() {
  if (scanned_ - begin_ <= kMaxBytes) return;
  const std::size_t excess = scanned_ - begin_ - kMaxBytes;
  buffer_.erase(begin_ + kMaxBytes, excess);
  scanned_ -= excess;
  dropped_ += excess;
}

InputText SendInput::take(TextEnd end, bool closed) {
  const std::size_t size = end.text - begin_;
  const bool too_long = dropped_ > 0 || size > kMaxBytes;
  std::string_view text = unread().substr(0, std::min(size, kMaxBytes));
  closed_ = *format_ == InputFormat::array && buffer_[end.closed - 1] == ']';
  begin_ = scanned_ = end.closed;
  base_ += std::exchange(dropped_, 0);
  place_ = {base_ + begin_, place_.number + 1};
  if (*format_ != InputFormat::lines) {
    text = trim_blanks(text);
  } else if (!text.empty() && text.back() == '\r') {
    text.remove_suffix(1);
  }
  const auto kind = too_long ? InputText::Kind::too_long : InputText::Kind::whole;
  return {.kind = kind, .text = text, .behind = place_, .closed = closed};
}

// At the end of the input.
InputText SendInput::take_rest() {
  const bool lines = *format_ == InputFormat::lines || *format_ == InputFormat::ndjson;
  const bool blank = trim_blanks(unread()).empty() && dropped_ == 0;
  if (lines && !blank) return take({buffer_.size(), buffer_.size()}, false);
  const bool open = *format_ == InputFormat::array ? !closed_ : !blank;
  if (!lines && open) return say_broken();
  ended_ = true;
  return {.behind = place_};
}

InputText SendInput::say_broken() {
  ended_ = true;
  return {.kind = InputText::Kind::broken, .behind = place_};
}

}  // namespace log_aggregator::cli
