// What encoding a full record costs: as a log call of ours does it, all of it anew by RecordWriter,
// by rapidjson, and copying the ready text as the floor.
//
//   log_aggregator_encode ROUNDS [LINES_FILE]
//
// Messages are the lines of the file, else texts of about 60 bytes that differ. Each writer once a
// round, so that drift of the machine meets all alike. Prints one JSON object: for each writer the
// median over the rounds and the least and most, in ns a record, and the bytes of a record.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bench/record_under_test.h"
#include "src/handler/record_encoder.h"

namespace log_aggregator::bench {
namespace {

constexpr int kRecordsInRound = 200'000;
constexpr std::int64_t kStartUs = 1'750'000'000'000'000;

std::vector<std::string> read_lines(const char* path) {
  std::vector<std::string> lines;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

std::vector<std::string> make_lines() {
  std::vector<std::string> lines;
  for (int i = 0; i < 1'000; ++i) {
    lines.push_back("user " + std::to_string(i * 7919) + " logged in from 192.168.1." +
                    std::to_string(i % 256) + " after " + std::to_string(i % 7) +
                    " attempts, \"remember me\"");
  }
  return lines;
}

// Writes record `number`, with such a message, somewhere, and returns how long it is.
using Write = std::function<std::size_t(int number, const std::string& message)>;

double ns_per_record(const Write& write, const std::vector<std::string>& lines) {
  const auto started = std::chrono::steady_clock::now();
  std::size_t line = 0;
  for (int number = 0; number < kRecordsInRound; ++number) {
    if (write(number, lines[line]) == 0) std::exit(1);
    if (++line == lines.size()) line = 0;
  }
  const std::chrono::duration<double, std::nano> spent = std::chrono::steady_clock::now() - started;
  return spent.count() / kRecordsInRound;
}

double mean_bytes(const Write& write, const std::vector<std::string>& lines) {
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < lines.size(); ++i) bytes += write(static_cast<int>(i), lines[i]);
  return static_cast<double>(bytes) / static_cast<double>(lines.size());
}

void run(int rounds, const std::vector<std::string>& lines) {
  RecordEncoder ours({.id = 1,
                      .prefix = record_prefix("bench", {}),
                      .logger = "bench.logins",
                      .max_record_bytes = 1 << 20});
  RecordWriter writer(record_prefix("bench", {}), 1 << 20);
  RapidjsonWriter rapidjson;
  std::vector<std::string> ready;
  for (const std::string& line : lines) ready.emplace_back(write_ours(writer, kStartUs, line, 1));
  std::vector<char> copy(2 << 20);

  const std::vector<std::pair<const char*, Write>> writers = {
      {"ours",
       [&](int number, const std::string& message) {
         const Field fields[] = {field("user_id", number), field("ip_address", kAddress)};
         Record record;  // filled in as the spdlog sink does
         record.level = Level::info;
         record.message = message;
         record.logger = kLogger;
         record.source = {"logins.cc", "log_in", kLine};
         record.time += std::chrono::microseconds(kStartUs + number);
         record.fields = fields;
         return ours.encode(record).size();
       }},
      {"ours anew",
       [&](int number, const std::string& message) {
         return write_ours(writer, kStartUs + number, message, number).size();
       }},
      {"rapidjson",
       [&](int number, const std::string& message) {
         return rapidjson.write(kStartUs + number, message, number).size();
       }},
      {"memcpy",
       [&](int number, const std::string&) {
         const std::string& text = ready[static_cast<std::size_t>(number) % ready.size()];
         std::memcpy(copy.data(), text.data(), text.size());
         return text.size() + static_cast<std::size_t>(copy[0] == 0);
       }},
  };
  std::vector<std::vector<double>> times(writers.size());
  for (int round = -1; round < rounds; ++round) {
    for (std::size_t i = 0; i < writers.size(); ++i) {
      const double ns = ns_per_record(writers[i].second, lines);
      if (round >= 0) times[i].push_back(ns);  // the first warms up
    }
  }
  for (std::size_t i = 0; i < writers.size(); ++i) {
    std::sort(times[i].begin(), times[i].end());
    std::printf("%s\"%s\":{\"median_ns\":%.1f,\"min_ns\":%.1f,\"max_ns\":%.1f,\"bytes\":%.1f}",
                i == 0 ? "{" : ",", writers[i].first, times[i][times[i].size() / 2],
                times[i].front(), times[i].back(), mean_bytes(writers[i].second, lines));
  }
  std::printf("}\n");
}

}  // namespace
}  // namespace log_aggregator::bench

int main(int count, char** arguments) {
  const int rounds = count == 2 || count == 3 ? std::atoi(arguments[1]) : 0;
  const auto lines = count == 3 ? log_aggregator::bench::read_lines(arguments[2])
                                : log_aggregator::bench::make_lines();
  if (rounds < 1 || lines.empty()) {
    std::fprintf(stderr, "usage: %s ROUNDS [LINES_FILE]\n", arguments[0]);
    return 2;
  }
  log_aggregator::bench::run(rounds, lines);
  return 0;
}
