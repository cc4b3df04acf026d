#include "cli/send_state.h"

#include <simdjson.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <utility>

#include "log_aggregator/json_writer.h"
#include "src/base/crc32c.h"
#include "src/base/uuid.h"

namespace log_aggregator::cli {

namespace {

namespace dom = simdjson::dom;

constexpr std::uint64_t kFingerprintBytes = 4096;
constexpr std::size_t kMaxStateBytes = 64 << 10;

// Two different ones get the same name once in 2^32 times each; what is in the file then tells.
std::string state_name(const std::string& endpoint, const std::string& file) {
  char name[32];
  std::snprintf(name, sizeof name, "%08x-%08x", crc32c(endpoint), crc32c(file));
  return name;
}

Result<std::unique_ptr<File>> open_or_create(const std::string& path) {
  auto file = real_files().open(path, Files::Open::to_create);
  return file.ok() ? std::move(file) : real_files().open(path, Files::Open::to_write);
}

void write_number(JsonWriter& json, std::string_view name, std::uint64_t number) {
  json.key(name);
  json.raw(std::to_string(number));
}

void write_text(JsonWriter& json, std::string_view name, std::string_view text) {
  json.key(name);
  json.string(text);
}

void write_fingerprint(JsonWriter& json, std::string_view name, const Fingerprint& fingerprint) {
  json.key(name);
  json.begin_array();
  json.raw(std::to_string(fingerprint.bytes));
  json.raw(std::to_string(fingerprint.crc));
  json.end_array();
}

// Reads members of an object; what is missing or of another type makes it fail in the end.
class Members {
 public:
  explicit Members(dom::element object) : object_(object) {}

  std::uint64_t number(std::string_view name) { return get<std::uint64_t>(object_[name]); }
  std::string text(std::string_view name) {
    return std::string(get<std::string_view>(object_[name]));
  }
  Fingerprint fingerprint(std::string_view name) {
    return {.bytes = get<std::uint64_t>(object_[name].at(0)),
            .crc = static_cast<std::uint32_t>(get<std::uint64_t>(object_[name].at(1)))};
  }
  bool ok() const { return ok_; }

 private:
  template <typename T>
  T get(simdjson::simdjson_result<dom::element> element) {
    T value{};
    ok_ &= element.get(value) == simdjson::SUCCESS;
    return value;
  }

  const dom::element object_;
  bool ok_ = true;
};

Result<std::string> state_home() {
  const char* state_home = std::getenv("XDG_STATE_HOME");
  if (state_home != nullptr && *state_home == '/') return std::string(state_home);
  const char* home = std::getenv("HOME");
  if (home != nullptr && *home == '/') return std::string(home) + "/.local/state";
  return Status::invalid_argument("there is no home directory: set XDG_STATE_HOME");
}

}  // namespace

Result<Fingerprint> fingerprint_before(int descriptor, std::uint64_t end) {
  std::string bytes(std::min(end, kFingerprintBytes), '\0');
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t count = ::pread(descriptor, bytes.data() + done, bytes.size() - done,
                                  static_cast<off_t>(end - bytes.size() + done));
    if (count < 0) return Status::unavailable(std::strerror(errno));
    if (count == 0) break;  // it has become shorter, and is another one
    done += static_cast<std::size_t>(count);
  }
  bytes.resize(done);
  return Fingerprint{.bytes = done, .crc = crc32c(bytes)};
}

Result<Fingerprint> fingerprint_head(int descriptor, std::uint64_t size) {
  return fingerprint_before(descriptor, std::min(size, kFingerprintBytes));
}

Result<bool> is_same_file(const SendState& state, int descriptor, std::uint64_t size) {
  if (size < state.end) return false;
  const auto head = fingerprint_before(descriptor, state.head.bytes);
  if (!head.ok()) return head.status();
  const auto before = fingerprint_before(descriptor, state.place.offset);
  if (!before.ok()) return before.status();
  return *head == state.head && *before == state.before;
}

SendStateFile::SendStateFile(std::string directory, std::string path, std::string endpoint,
                             std::string file, std::unique_ptr<File> lock)
    : directory_(std::move(directory)),
      path_(std::move(path)),
      endpoint_(std::move(endpoint)),
      file_(std::move(file)),
      lock_(std::move(lock)) {}

Result<std::unique_ptr<SendStateFile>> SendStateFile::open(const std::string& directory,
                                                           const std::string& endpoint,
                                                           const std::string& file) {
  if (Status usable = real_files().check_private_directory(directory); !usable.ok()) return usable;
  std::string path = directory + '/' + state_name(endpoint, file);
  auto lock = open_or_create(path + ".lock");
  if (!lock.ok()) return lock.status();
  if (!(*lock)->try_lock()) {
    return Status::unavailable("another send of this file to this endpoint is at work");
  }
  return std::unique_ptr<SendStateFile>(
      new SendStateFile(directory, path + ".json", endpoint, file, std::move(*lock)));
}

Result<std::optional<SendState>> SendStateFile::load() const {
  const auto not_understood = Status::unavailable(
      path_ + " does not say how far it was sent; --restart sends all of it again");
  auto file = real_files().open(path_, Files::Open::to_read);
  if (file.status().code() == StatusCode::not_found) return std::optional<SendState>();
  if (!file.ok()) return file.status();
  std::string text(kMaxStateBytes, '\0');
  const auto size = (*file)->read(0, text.data(), text.size());
  if (!size.ok()) return size.status();
  dom::parser parser;
  dom::element root;
  if (parser.parse(text.data(), *size).get(root) != simdjson::SUCCESS) {
    return not_understood;
  }
  Members members(root);
  const bool ours = members.text("endpoint") == endpoint_ && members.text("file") == file_;
  const auto format = input_format_named(members.text("format"));
  SendState state{.journal = members.text("journal"),
                  .format = format.value_or(InputFormat::lines),
                  .end = members.number("end"),
                  .head = members.fingerprint("head"),
                  .place = {members.number("offset"), members.number("number")},
                  .before = members.fingerprint("before"),
                  .records = members.number("records"),
                  .refused = members.number("refused"),
                  .bad = members.number("bad")};
  if (!members.ok() || !ours || !format || !parse_uuid(state.journal)) return not_understood;
  return std::optional(state);
}

Status SendStateFile::save(const SendState& state) {
  JsonWriter json;
  json.begin_object();
  write_text(json, "endpoint", endpoint_);
  write_text(json, "file", file_);
  write_text(json, "journal", state.journal);
  write_text(json, "format", input_format_name(state.format));
  write_number(json, "end", state.end);
  write_fingerprint(json, "head", state.head);
  write_number(json, "offset", state.place.offset);
  write_number(json, "number", state.place.number);
  write_fingerprint(json, "before", state.before);
  write_number(json, "records", state.records);
  write_number(json, "refused", state.refused);
  write_number(json, "bad", state.bad);
  json.end_object();

  Files& files = real_files();
  const std::string fresh = path_ + ".new";
  static_cast<void>(files.remove(fresh));  // of a process that was killed here
  auto file = files.open(fresh, Files::Open::to_create);
  if (!file.ok()) return file.status();
  if (Status written = (*file)->write(0, std::string(json.text()) + '\n'); !written.ok())
    return written;
  if (Status synced = (*file)->sync(); !synced.ok()) return synced;
  if (Status renamed = files.rename(fresh, path_); !renamed.ok()) return renamed;
  return files.sync_directory(directory_);
}

Result<std::string> send_state_directory() {
  namespace fs = std::filesystem;
  const auto home = state_home();
  if (!home.ok()) return home;
  const fs::path directory = fs::path(*home) / "log-aggregator" / "send";
  std::error_code error;
  fs::create_directories(directory.parent_path(), error);
  const Status made = real_files().make_directory(directory.string());
  Status usable = real_files().check_private_directory(directory.string());
  if (usable.ok()) return directory.string();
  return made.code() == StatusCode::not_found ? made : usable;
}

}  // namespace log_aggregator::cli
