// How fast ready records reach a server: the queue, batching, compression and HTTP, without
// anything that makes records.
//
//   log_aggregator_transport ENDPOINT none|zstd|gzip SECONDS
//
// One thread hands over records of about 400 bytes that differ, and waits while the queue is full.
// Prints one JSON object: records and seconds until all were acknowledged, the CPU time of the
// process, and how much of it was that thread's. Fails where one was not delivered.

#include <sys/resource.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "log_aggregator/handler.h"
#include "src/handler/record_writer.h"

namespace log_aggregator {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kInfo = 20;
constexpr std::int64_t kStartUs = 1'750'000'000'000'000;
constexpr std::size_t kDifferentRecords = 20'011;

std::vector<std::string> make_records(const Handler& handler) {
  RecordWriter writer(handler.record_prefix(), handler.options().max_record_bytes);
  std::vector<std::string> records;
  std::uint32_t chance = 1;
  for (std::size_t i = 0; i < kDifferentRecords; ++i) {
    chance = chance * 1'664'525 + 1'013'904'223;
    writer.begin(kStartUs + static_cast<std::int64_t>(i) * 13, "INFO");
    writer.message("user " + std::to_string(chance) + " logged in from 192.168.1." +
                   std::to_string(chance % 251));
    for (const char* name : {"host_process", "logger_name", "module", "filename", "funcName"}) {
      writer.field(name, "bench.transport");
    }
    writer.field("threadName", "MainThread");
    writer.field("lineno", 128);
    writer.field("process", 4242);
    writer.field("thread", 140'000'000'000);
    writer.begin_extra();
    writer.json().key("user_id");
    writer.json().integer(chance);
    writer.end_extra();
    records.emplace_back(writer.finish());
  }
  return records;
}

std::unique_ptr<Handler> make_handler(const char* endpoint, Compression compression) {
  Options options;
  options.api_endpoint = endpoint;
  options.host = "bench";
  options.compression = compression;
  options.overflow = Overflow::block;
  options.block_timeout = std::chrono::seconds(60);
  auto handler = Handler::create(std::move(options));
  if (!handler.ok()) std::exit(1);
  return std::move(handler.value());
}

// RUSAGE_SELF: of the process; RUSAGE_THREAD: of the calling thread.
double cpu_seconds(int whose) {
  rusage usage{};
  ::getrusage(whose, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

int run(const char* endpoint, Compression compression, double seconds) {
  const auto handler = make_handler(endpoint, compression);
  const std::vector<std::string> records = make_records(*handler);
  std::uint64_t logged = 0;
  const double cpu_before = cpu_seconds(RUSAGE_SELF);
  const double caller_before = cpu_seconds(RUSAGE_THREAD);
  const auto started = Clock::now();
  const auto end = started + std::chrono::duration<double>(seconds);
  while (Clock::now() < end) {
    for (const std::string& record : records) handler->log_json(kInfo, record);
    logged += records.size();
  }
  const bool delivered = handler->flush(std::chrono::seconds(60));
  const std::chrono::duration<double> taken = Clock::now() - started;
  std::printf(
      "{\"records\":%llu,\"seconds\":%.6f,\"cpu_seconds\":%.6f,\"caller_cpu_seconds\":%.6f,"
      "\"record_bytes\":%zu}\n",
      static_cast<unsigned long long>(logged), taken.count(), cpu_seconds(RUSAGE_SELF) - cpu_before,
      cpu_seconds(RUSAGE_THREAD) - caller_before, records.front().size());
  return delivered ? 0 : 1;
}

}  // namespace
}  // namespace log_aggregator

int main(int count, char** arguments) {
  using log_aggregator::Compression;
  const std::string_view kind = count == 4 ? arguments[2] : "";
  const double seconds = count == 4 ? std::atof(arguments[3]) : 0;
  if (seconds <= 0 || (kind != "none" && kind != "zstd" && kind != "gzip")) {
    std::fprintf(stderr, "usage: %s ENDPOINT none|zstd|gzip SECONDS\n", arguments[0]);
    return 2;
  }
  const Compression compression = kind == "zstd"   ? Compression::zstd
                                  : kind == "gzip" ? Compression::gzip
                                                   : Compression::none;
  return log_aggregator::run(arguments[1], compression, seconds);
}
