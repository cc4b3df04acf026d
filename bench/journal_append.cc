// What Journal::append costs its caller, by where the segments lie.
//
//   log_aggregator_journal_append DIRECTORY ROUNDS
//
// Appends records of 300 bytes in bursts that fill a little less than what the worker keeps present
// ahead, and times the bursts alone: what the worker does (reading, settling, files) is done
// between them, on the same thread. Every kind once a round, so that drift of the machine meets all
// alike. Prints one JSON object: for each kind the median over the rounds, and the least and most,
// in ns. DIRECTORY exists, is the caller's alone, and is left as it was.

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "log_aggregator/stats.h"
#include "src/base/clock.h"
#include "src/base/files.h"
#include "src/journal/journal.h"

namespace log_aggregator {
namespace {

constexpr std::size_t kRecordBytes = 300;
constexpr int kBurst = 320;  // about 104 KiB with frames
constexpr int kBurstsInRound = 100;
constexpr int kInfo = 20;

// Files whose mappings are anonymous memory: what a segment in a file does beside, its checksums
// before all, without the mapping itself.
class UnmappedFile final : public File {
 public:
  explicit UnmappedFile(std::unique_ptr<File> file) : file_(std::move(file)) {}
  Status reserve(std::uint64_t bytes) override { return file_->reserve(bytes); }
  Result<std::uint64_t> size() override { return file_->size(); }
  Result<std::size_t> read(std::uint64_t offset, char* buffer, std::size_t bytes) override {
    return file_->read(offset, buffer, bytes);
  }
  Status write(std::uint64_t offset, std::string_view bytes) override {
    return file_->write(offset, bytes);
  }
  bool try_write(std::uint64_t offset, std::string_view bytes) override {
    return file_->try_write(offset, bytes);
  }
  Status sync() override { return file_->sync(); }
  char* map(std::size_t bytes) override {
    void* const memory =
        ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? nullptr : static_cast<char*>(memory);
  }
  void unmap(char* memory, std::size_t bytes) override { ::munmap(memory, bytes); }
  bool try_lock() override { return file_->try_lock(); }
  void close_in_child() override { file_->close_in_child(); }

 private:
  const std::unique_ptr<File> file_;
};

class UnmappedFiles final : public Files {
 public:
  Result<std::unique_ptr<File>> open(const std::string& path, Open how) override {
    auto opened = real_files().open(path, how);
    if (!opened.ok()) return opened;
    return std::unique_ptr<File>(std::make_unique<UnmappedFile>(std::move(opened.value())));
  }
  Status rename(const std::string& from, const std::string& to) override {
    return real_files().rename(from, to);
  }
  Status remove(const std::string& path) override { return real_files().remove(path); }
  Status make_directory(const std::string& path) override {
    return real_files().make_directory(path);
  }
  Status remove_directory(const std::string& path) override {
    return real_files().remove_directory(path);
  }
  Result<std::vector<std::string>> list(const std::string& path) override {
    return real_files().list(path);
  }
  Status sync_directory(const std::string& path) override {
    return real_files().sync_directory(path);
  }
  Status check_private_directory(const std::string& path) override {
    return real_files().check_private_directory(path);
  }
  bool keeps_reservations(const std::string& directory) override {
    return real_files().keeps_reservations(directory);
  }
};

UnmappedFiles unmapped_files;

struct Kind {
  const char* name;
  Files* files;  // null: segments are in no files
  bool mapped;
  bool settles;    // what is appended is delivered at once: segments are used again
  bool maintains;  // the worker makes files and pages ready
};

const std::array<Kind, 6> kKinds = {{
    {"anonymous", nullptr, false, true, true},
    {"anonymous, with checksums", &unmapped_files, true, true, true},
    {"mapped, recycled", &real_files(), true, true, true},
    {"mapped, fresh, made ready", &real_files(), true, false, true},
    {"mapped, fresh, by the caller", &real_files(), true, false, false},
    {"written", &real_files(), false, true, true},
}};

std::unique_ptr<Journal> make_journal(const Kind& kind, const std::string& directory) {
  std::optional<Journal::SpoolPlan> plan;
  if (kind.files != nullptr) {
    plan.emplace(Journal::SpoolPlan{.files = *kind.files,
                                    .root = directory,
                                    .mapped = kind.mapped,
                                    .memory_bytes = 64 << 20,
                                    .durability = Durability::process,
                                    .sync_interval = {}});
  }
  const Journal::Limits limits{.capacity_bytes = 1 << 30, .segment_bytes = 1 << 20};
  return std::make_unique<Journal>(limits, plan);
}

std::int64_t thread_cpu_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

// All that was appended counts as delivered.
void settle(Journal& journal) {
  Settlement settlement;
  while (const auto record = journal.peek()) {
    settlement.through = record->sequence;
    settlement.bytes += record->payload.size();
    ++settlement.records;
    journal.advance();
  }
  journal.unread();
  journal.settle(settlement);
}

double ns_per_append(const Kind& kind, const std::string& directory) {
  const std::unique_ptr<Journal> journal = make_journal(kind, directory);
  const std::string record(kRecordBytes, 'x');
  std::int64_t spent_ns = 0;
  int appended = 0;
  for (int burst = 0; burst < 2 * kBurstsInRound; ++burst) {
    const std::int64_t started_ns = thread_cpu_ns();
    for (int i = 0; i < kBurst; ++i) {
      if (!journal->append(kInfo, record).taken) std::exit(1);
    }
    if (burst >= kBurstsInRound) {  // before, it warms up
      spent_ns += thread_cpu_ns() - started_ns;
      appended += kBurst;
    }
    if (kind.settles) settle(*journal);
    if (kind.maintains) journal->maintain(real_clock().now());
  }
  settle(*journal);
  journal->finish();
  return static_cast<double>(spent_ns) / appended;
}

void print(const std::vector<std::vector<double>>& times) {
  for (std::size_t i = 0; i < kKinds.size(); ++i) {
    std::vector<double> sorted = times[i];
    std::sort(sorted.begin(), sorted.end());
    std::printf("%s\"%s\":{\"median_ns\":%.1f,\"min_ns\":%.1f,\"max_ns\":%.1f}", i == 0 ? "{" : ",",
                kKinds[i].name, sorted[sorted.size() / 2], sorted.front(), sorted.back());
  }
  std::printf("}\n");
}

}  // namespace
}  // namespace log_aggregator

int main(int count, char** arguments) {
  using namespace log_aggregator;
  const int rounds = count == 3 ? std::atoi(arguments[2]) : 0;
  if (rounds < 1) {
    std::fprintf(stderr, "usage: %s DIRECTORY ROUNDS\n", arguments[0]);
    return 2;
  }
  std::vector<std::vector<double>> times(kKinds.size());
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t i = 0; i < kKinds.size(); ++i) {
      times[i].push_back(ns_per_append(kKinds[i], arguments[1]));
    }
  }
  print(times);
  return 0;
}
