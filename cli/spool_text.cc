#include "cli/spool_text.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>

#include "cli/terminal_text.h"

namespace log_aggregator::cli {

namespace {

std::string range_of(const SpoolDamage& damage) {
  const bool one = damage.first_sequence == damage.last_sequence;
  std::string text = one ? "record " : "records ";
  text += number_text(damage.first_sequence);
  return one ? text : text + " - " + number_text(damage.last_sequence);
}

std::string place_of(const SpoolDamage& damage) {
  if (damage.kind == DamageKind::cursor_slot) {
    return std::string("cursor at ").append(number_text(damage.offset)) + ": ";
  }
  if (damage.segment == 0) return "";
  char name[32];
  std::snprintf(name, sizeof name, "segment %016" PRIx64, damage.segment);
  if (damage.kind == DamageKind::unreadable) return std::string(name) + ": ";
  return std::string(name) + " at " + number_text(damage.offset) + ": ";
}

std::string what_it_is(const SpoolDamage& damage) {
  switch (damage.kind) {
    case DamageKind::frame_header:
      return number_text(damage.bytes) + " bytes in which no record can be found" +
             (damage.first_sequence == 0 ? "" : ", of " + range_of(damage));
    case DamageKind::payload:
      return std::string("the payload of ").append(range_of(damage)) + " is damaged";
    case DamageKind::missing:
      return range_of(damage) + (damage.first_sequence == damage.last_sequence ? " is" : " are") +
             " missing";
    case DamageKind::segment_header:
      return "the segment's header is damaged";
    case DamageKind::commit_hint:
      return "the committed length is damaged";
    case DamageKind::cursor_slot:
      return "the slot is damaged";
    case DamageKind::unreadable:
      return neutralised(damage.why);
  }
  return "";
}

}  // namespace

std::string number_text(std::uint64_t number) {
  std::string text = std::to_string(number);
  for (std::size_t end = text.size(); end > 3; end -= 3) text.insert(end - 3, 1, ',');
  return text;
}

std::string count_text(std::uint64_t number, const char* one) {
  return number_text(number) + " " + one + (number == 1 ? "" : "s");
}

std::string size_text(std::uint64_t bytes) {
  constexpr const char* kUnits[] = {"KiB", "MiB", "GiB", "TiB"};
  if (bytes < 1024) return std::to_string(bytes) + " B";
  double size = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  while (size >= 1024 && unit + 1 < std::size(kUnits)) {
    size /= 1024;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof text, "%.1f %s", size, kUnits[unit]);
  return text;
}

std::string age_text(std::chrono::nanoseconds age) {
  using namespace std::chrono;  // NOLINT(google-build-using-namespace): five names of it
  const auto seconds_old = std::max(duration_cast<seconds>(age), seconds(0)).count();
  if (seconds_old < 120) return std::to_string(seconds_old) + " s";
  if (seconds_old < 2 * 3600) return std::to_string(seconds_old / 60) + " min";
  if (seconds_old < 2 * 86400) return std::to_string(seconds_old / 3600) + " h";
  return std::to_string(seconds_old / 86400) + " d";
}

const char* damage_name(DamageKind kind) {
  switch (kind) {
    case DamageKind::frame_header:
      return "frame_header";
    case DamageKind::payload:
      return "payload";
    case DamageKind::missing:
      return "missing";
    case DamageKind::segment_header:
      return "segment_header";
    case DamageKind::commit_hint:
      return "commit_hint";
    case DamageKind::cursor_slot:
      return "cursor_slot";
    case DamageKind::unreadable:
      return "unreadable";
  }
  return "";
}

std::string damage_text(const SpoolDamage& damage) {
  const std::string text = place_of(damage) + what_it_is(damage);
  if (damage.lost > 0) return text + "; lost: " + number_text(damage.lost);
  return damage.first_sequence == 0 ? text : text + "; settled before, nothing is lost";
}

std::string progress_text(const SpoolDrain::Progress& progress, std::size_t columns) {
  constexpr std::size_t kMaxBar = 40;
  const std::uint64_t done = progress.delivered + progress.dropped;
  const std::uint64_t total = std::max(progress.total, done);
  const double share = total == 0 ? 1 : static_cast<double>(done) / static_cast<double>(total);
  char percent[16];
  std::snprintf(percent, sizeof percent, " %3d %%  ", static_cast<int>(share * 100));
  std::string numbers = percent;
  numbers += number_text(done) + " of " + count_text(total, "record");
  if (columns < numbers.size() + 12) return numbers.substr(1, columns);
  const std::size_t width = std::min(kMaxBar, columns - numbers.size() - 2);
  const auto filled = static_cast<std::size_t>(share * static_cast<double>(width));
  std::string bar = "[";
  bar.append(filled, '#').append(width - filled, '.');
  return bar + "]" + numbers;
}

}  // namespace log_aggregator::cli
