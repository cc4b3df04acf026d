#include "cli/symbols.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>

#include "src/base/elf.h"
#include "src/base/fixed_text.h"

namespace log_aggregator::cli {

namespace {

constexpr std::string_view kBuildId = " (build-id ";

std::string hex(std::uint64_t value) {
  std::array<char, 16> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value, 16).ptr;
  return "0x" + std::string(digits.data(), end);
}

std::optional<std::uint64_t> parse_hex(std::string_view text) {
  if (!text.starts_with("0x")) return std::nullopt;
  text.remove_prefix(2);
  std::uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, value, 16);
  return error == std::errc() && stopped == end ? std::optional(value) : std::nullopt;
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    lines.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

std::string hex_digits(std::string_view bytes) {
  std::string digits(2 * bytes.size(), '0');
  FixedText(digits.data(), digits.size()).hex_bytes(bytes);
  return digits;
}

// As much of a file as its headers and its build-id commonly take.
std::string beginning_of(const std::string& path) {
  std::string bytes(64 << 10, '\0');
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  const ssize_t count = file < 0 ? -1 : ::pread(file, bytes.data(), bytes.size(), 0);
  if (file >= 0) ::close(file);
  bytes.resize(count < 0 ? 0 : static_cast<std::size_t>(count));
  return bytes;
}

// What a program writes to standard output; none where it is not installed.
std::optional<std::string> output_of(std::vector<std::string> command) {
  std::vector<char*> arguments;
  arguments.reserve(command.size() + 1);
  for (std::string& argument : command) arguments.push_back(argument.data());
  arguments.push_back(nullptr);
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return std::nullopt;
  ::posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, pipe[1], STDOUT_FILENO);
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t child = 0;
  const int error =
      ::posix_spawnp(&child, arguments[0], &actions, nullptr, arguments.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(pipe[1]);
  std::string output;
  std::array<char, 4096> buffer{};
  ssize_t count = error == 0 ? 1 : 0;
  while (count > 0 || (count < 0 && errno == EINTR)) {
    count = ::read(pipe[0], buffer.data(), buffer.size());
    if (count > 0) output.append(buffer.data(), static_cast<std::size_t>(count));
  }
  ::close(pipe[0]);
  if (error != 0) return std::nullopt;
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return output;
}

// Where no line is known, a function is only the nearest one that has a name.
std::string name_in(std::string_view name, const std::string& place) {
  const std::size_t line = name.find(" at ??:");
  if (line == std::string_view::npos) return std::string(name);
  return place + " near " + std::string(name.substr(0, line));
}

}  // namespace

std::optional<StackPlace> parse_stack_line(std::string_view line) {
  StackPlace place;
  if (const std::size_t id = line.rfind(kBuildId); id != std::string_view::npos) {
    place.build_id = line.substr(id + kBuildId.size());
    if (!place.build_id.empty()) place.build_id.pop_back();
    line = line.substr(0, id);
  }
  const std::size_t file = line.find(" /");
  const std::size_t plus = line.rfind('+');
  if (file == std::string_view::npos || plus == std::string_view::npos || plus < file) {
    return std::nullopt;
  }
  const auto offset = parse_hex(line.substr(plus + 1));
  if (!offset) return std::nullopt;
  place.beginning = line.substr(0, file);
  place.file = line.substr(file + 1, plus - file - 1);
  place.offset = *offset;
  return place;
}

std::string Symbols::of_stack(std::string_view stack) {
  const std::vector<std::string_view> lines = lines_of(stack);
  std::map<std::pair<std::string, std::string>, Offsets> wanted;  // by file and build-id
  for (const std::string_view line : lines) {
    if (const auto place = parse_stack_line(line)) {
      wanted[{place->file, place->build_id}].insert(place->offset);
    }
  }
  std::map<std::pair<std::string, std::string>, Names> known;
  for (const auto& [file, offsets] : wanted) {
    known[file] = look_up(file.first, file.second, offsets);
  }
  std::string text;
  for (const std::string_view line : lines) {
    if (!text.empty()) text += '\n';
    const auto place = parse_stack_line(line);
    const std::vector<std::string> names =
        place ? known[{place->file, place->build_id}][place->offset] : std::vector<std::string>();
    text += names.empty() ? std::string(line) : place->beginning + ' ' + names.front();
    for (std::size_t i = 1; i < names.size(); ++i) text += "\n   " + names[i];
  }
  return text;
}

// addr2line answers for each address: itself, the function and its line, then, in lines of their
// own, the calls that it is inlined into.
Symbols::Names Symbols::look_up(const std::string& file, const std::string& build_id,
                                const Offsets& offsets) {
  const std::string beginning = beginning_of(file);
  const auto facts = read_elf(beginning);
  if (!facts) {
    trouble_.insert(file + " is gone");
    return {};
  }
  if (hex_digits(facts->build_id) != build_id) {
    trouble_.insert(file + " has been replaced since");
    return {};
  }
  if (build_id.empty()) {
    trouble_.insert(file + " has no build-id: names are those of the file as it is now");
  }
  std::vector<std::string> command{"addr2line", "-aCfipe", file};
  for (const std::uint64_t offset : offsets) command.push_back(hex(facts->first_address + offset));
  const auto output = output_of(std::move(command));
  if (!output) {
    trouble_.insert("addr2line is not there: install binutils to see functions and lines");
    return {};
  }
  Names names;
  std::uint64_t offset = 0;
  for (const std::string_view line : lines_of(*output)) {
    const std::size_t colon = line.find(": ");
    const auto address =
        colon == std::string_view::npos ? std::nullopt : parse_hex(line.substr(0, colon));
    if (address) offset = *address - facts->first_address;
    const std::string_view name =
        address ? line.substr(colon + 2) : line.substr(std::min<std::size_t>(1, line.size()));
    if (!name.starts_with("??")) names[offset].push_back(name_in(name, file + '+' + hex(offset)));
  }
  return names;
}

}  // namespace log_aggregator::cli
