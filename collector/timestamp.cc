#include "collector/timestamp.h"

#include <chrono>

#include "src/base/time_text.h"

namespace log_aggregator::collector {

namespace {

using std::chrono::microseconds;

// Takes parts off the front of a text; after the first that is not there, every further one fails.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}

  int number(std::size_t digits) {
    if (rest_.size() < digits) return fail();
    int value = 0;
    for (std::size_t i = 0; i < digits; ++i) {
      if (!is_digit(rest_[i])) return fail();
      value = value * 10 + (rest_[i] - '0');
    }
    rest_.remove_prefix(digits);
    return value;
  }

  // One of `choices`; 0 where there is none.
  char one_of(std::string_view choices) {
    const char next = peek(choices);
    if (next == 0) {
      fail();
    } else {
      rest_.remove_prefix(1);
    }
    return next;
  }

  char peek(std::string_view choices) const {
    const bool there = !rest_.empty() && choices.find(rest_.front()) != std::string_view::npos;
    return there ? rest_.front() : '\0';
  }

  int fraction_us() {
    int value = 0;
    int unit = 100'000;
    if (peek("0123456789") == 0) return fail();
    for (; peek("0123456789") != 0; rest_.remove_prefix(1), unit /= 10) {
      value += (rest_.front() - '0') * unit;
    }
    return value;
  }

  bool at_end() const { return ok_ && rest_.empty(); }
  bool ok() const { return ok_; }

 private:
  static bool is_digit(char c) { return c >= '0' && c <= '9'; }
  int fail() {
    ok_ = false;
    rest_ = {};
    return 0;
  }

  std::string_view rest_;
  bool ok_ = true;
};

std::optional<std::chrono::sys_days> take_date(Scanner& scanner) {
  using namespace std::chrono;
  const year y(scanner.number(4));
  scanner.one_of("-");
  const month m(static_cast<unsigned>(scanner.number(2)));
  scanner.one_of("-");
  const day d(static_cast<unsigned>(scanner.number(2)));
  const year_month_day date(y, m, d);
  if (!scanner.ok() || !date.ok()) return std::nullopt;
  return sys_days(date);
}

std::optional<microseconds> take_time(Scanner& scanner) {
  const int hour = scanner.number(2);
  scanner.one_of(":");
  const int minute = scanner.number(2);
  int second = 0;
  int fraction = 0;
  if (scanner.peek(":") != 0) {
    scanner.one_of(":");
    second = scanner.number(2);
    if (scanner.peek(".,") != 0) {
      scanner.one_of(".,");
      fraction = scanner.fraction_us();
    }
  }
  // 60 is a leap second, which POSIX time counts as the one after.
  if (!scanner.ok() || hour > 23 || minute > 59 || second > 60) return std::nullopt;
  return std::chrono::hours(hour) + std::chrono::minutes(minute) + std::chrono::seconds(second) +
         microseconds(fraction);
}

std::optional<microseconds> take_offset(Scanner& scanner) {
  const char sign = scanner.one_of("Zz+-");
  if (sign == 'Z' || sign == 'z') return microseconds(0);
  const int hours = scanner.number(2);
  int minutes = 0;
  if (!scanner.at_end()) {
    if (scanner.peek(":") != 0) scanner.one_of(":");
    minutes = scanner.number(2);
  }
  if (!scanner.ok() || hours > 23 || minutes > 59) return std::nullopt;
  const microseconds offset = std::chrono::hours(hours) + std::chrono::minutes(minutes);
  return sign == '-' ? -offset : offset;
}

}  // namespace

std::optional<std::int64_t> parse_timestamp(std::string_view text) {
  Scanner scanner(text);
  const auto date = take_date(scanner);
  if (!date) return std::nullopt;
  scanner.one_of("Tt ");
  const auto time = take_time(scanner);
  if (!time) return std::nullopt;
  const auto offset = take_offset(scanner);
  if (!offset || !scanner.at_end()) return std::nullopt;
  const auto us = (microseconds(date->time_since_epoch()) + *time - *offset).count();
  if (us < kFirstTimestampUs || us > kLastTimestampUs) return std::nullopt;
  return us;
}

std::string timestamp_text(std::int64_t unix_microseconds) {
  char text[kTimestampLength];
  format_timestamp(unix_microseconds, text);
  return {text, sizeof text};
}

std::int64_t now_microseconds() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<microseconds>(now).count();
}

}  // namespace log_aggregator::collector
