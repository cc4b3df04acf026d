// What delivery costs the worker: from records in the journal to the last byte of their requests,
// over loopback.
//
//   log_aggregator_transport URL ROUNDS [ENCODING]
//
// URL is that of a server which is never the bottleneck (sink.cc). Records are 430 bytes long, each
// with other numbers in it. Three workloads, with each encoding, or the one that is named, once a
// round, so that drift of the machine meets all alike:
//
//   backlog   a queue that was filled before; the CPU time of the worker alone counts
//   stream    records are appended by another thread as fast as the queue takes them, for a
//             second; the records that were acknowledged in it, and what each side paid
//   paced     the same at 500,000 records a second, which delivery keeps up with
//
// Prints one JSON object: for each the median over the rounds, and the least and most. Where
// records are appended meanwhile also how far resident memory rose above what it was before the
// first of them, in MiB.

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "src/base/clock.h"
#include "src/base/url.h"
#include "src/deliver/curl_transport.h"
#include "src/deliver/delivery.h"
#include "src/deliver/mailbox.h"
#include "src/journal/journal.h"

namespace log_aggregator {
namespace {

constexpr int kBacklog = 100'000;
constexpr int kTexts = 4'096;
constexpr int kInfo = 20;
constexpr std::chrono::seconds kStreamTime{1};
constexpr double kPace = 500'000;  // records a second

struct Kind {
  const char* name;
  Compression compression;
};
constexpr std::array<Kind, 4> kKinds = {{{"plain", Compression::none},
                                         {"zstd", Compression::zstd},
                                         {"gzip", Compression::gzip},
                                         {"automatic", Compression::automatic}}};

double seconds_of(const timespec& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

double thread_cpu_seconds() {
  timespec spent{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
  return seconds_of(spent);
}

double wall_seconds() {
  return std::chrono::duration<double>(real_clock().now().time_since_epoch()).count();
}

double resident_mib() {
  long pages = 0;
  if (std::FILE* file = std::fopen("/proc/self/statm", "r")) {
    if (std::fscanf(file, "%*d %ld", &pages) != 1) pages = 0;
    std::fclose(file);
  }
  return static_cast<double>(pages) * static_cast<double>(::sysconf(_SC_PAGESIZE)) / (1 << 20);
}

// Records as an application's: the same few messages, with times, names and numbers of their own.
std::vector<std::string> make_records() {
  constexpr std::array<const char*, 4> kMessages = {
      "GET /api/v2/orders/%u?expand=items HTTP/1.1 answered 200 in %u ms for client 10.0.%u.17",
      "user %u logged in from 192.168.%u.4 by password after %u attempts, session renewed",
      "cache miss for key session:%u:profile, loaded %u rows from shard %u of the user store",
      "order %u was packed and handed over to carrier %u, %u items, waiting for confirmation"};
  std::uint32_t state = 12345;
  const auto random = [&state](std::uint32_t below) {
    state = state * 1664525 + 1013904223;
    return (state >> 8) % below;
  };
  std::vector<std::string> records;
  for (int i = 0; i < kTexts; ++i) {
    char message[200];
    char record[600];
    std::snprintf(message, sizeof message, kMessages[random(kMessages.size())], random(10'000'000),
                  random(256), random(250));
    std::snprintf(
        record, sizeof record,
        R"({"host":"app-17.example.com","timestamp":"2026-03-04T05:06:%02u.%06uZ","level":"INFO",)"
        R"("host_process":"shop.orders","logger_name":"shop.orders","message":"%s",)"
        R"("module":"handlers","filename":"handlers.py","funcName":"handle","lineno":%u,)"
        R"("process":31337,"thread":139872,"threadName":"worker-%u",)"
        R"("extra":{"trace_id":"%06x%06x%06x%06x%06x","duration_ms":%u}})",
        random(60), random(1'000'000), message, random(400), random(32), random(1U << 24),
        random(1U << 24), random(1U << 24), random(1U << 24), random(1U << 24), random(5'000));
    records.emplace_back(record);
  }
  return records;
}

// A queue with its delivery, as a handler has them.
class Pipeline {
 public:
  Pipeline(const std::string& url, Compression compression)
      : options_(with(url, compression)),
        endpoint_(parse_endpoint(options_.api_endpoint).value()),
        transport_(make_curl_transport(options_)),
        delivery_(options_, endpoint_, journal, *transport_, mailbox_, real_clock()) {}

  void append(std::string_view record) {
    if (journal.append(kInfo, record).wake) delivery_.wake();
  }
  // Ends the delivery when all is delivered.
  void close() {
    journal.close();
    delivery_.close(real_clock().now() + std::chrono::seconds(30));
  }
  void run() {
    while (delivery_.step()) {
    }
  }
  // Until everything is delivered.
  void drain() {
    delivery_.flush_through(journal.mark().through);
    while (stats().pending > 0 && delivery_.step()) {
    }
  }
  Stats stats() const {
    Stats stats;
    journal.fill(stats);
    delivery_.fill(stats);
    return stats;
  }

  Journal journal{{.capacity_bytes = 64 << 20,
                   .segment_bytes = 1 << 20,
                   .overflow = Overflow::block,
                   .block_timeout = std::chrono::seconds(30)}};

 private:
  static Options with(const std::string& url, Compression compression) {
    Options options;
    options.api_endpoint = url + "/api/logs";
    options.compression = compression;
    return options;
  }

  const Options options_;
  const Endpoint endpoint_;
  Mailbox mailbox_;
  const std::unique_ptr<Transport> transport_;
  Delivery delivery_;
};

using Figures = std::map<std::string, double>;

Figures measure_backlog(const std::string& url, Compression compression,
                        const std::vector<std::string>& records) {
  Pipeline pipeline(url, compression);
  pipeline.append(records[0]);
  pipeline.drain();  // connected, and knows what the API takes
  for (int i = 0; i < kBacklog; ++i) {
    pipeline.append(records[static_cast<std::size_t>(i) % records.size()]);
  }
  const Stats before = pipeline.stats();
  const double cpu = thread_cpu_seconds();
  const double wall = wall_seconds();
  pipeline.drain();
  const Stats after = pipeline.stats();
  if (after.delivered != before.delivered + kBacklog) std::exit(1);
  return {
      {"records_per_cpu_second", kBacklog / (thread_cpu_seconds() - cpu)},
      {"records_per_second", kBacklog / (wall_seconds() - wall)},
      {"bytes_per_record", static_cast<double>(after.bytes_sent - before.bytes_sent) / kBacklog}};
}

// At most `pace` records a second; 0: as fast as they are taken.
Figures measure_stream(const std::string& url, Compression compression,
                       const std::vector<std::string>& records, double pace) {
  const double resident_before = resident_mib();
  Pipeline pipeline(url, compression);
  double worker_cpu = 0;
  std::thread worker([&] {
    pipeline.run();
    worker_cpu = thread_cpu_seconds();
  });
  const double begun = wall_seconds();
  const double cpu = thread_cpu_seconds();
  const auto until = real_clock().now() + kStreamTime;
  std::uint64_t appended = 0;
  double resident = resident_before;
  while (real_clock().now() < until) {
    for (int i = 0; i < 1'000; ++i) pipeline.append(records[appended++ % records.size()]);
    if (appended % 50'000 == 0) resident = std::max(resident, resident_mib());
    if (pace == 0) continue;
    const std::chrono::duration<double> due(begun + static_cast<double>(appended) / pace);
    std::this_thread::sleep_until(
        Clock::TimePoint(std::chrono::duration_cast<Clock::TimePoint::duration>(due)));
  }
  const double append_cpu = thread_cpu_seconds() - cpu;
  pipeline.close();
  worker.join();
  const double wall = wall_seconds() - begun;
  const Stats stats = pipeline.stats();
  if (stats.delivered != appended) std::exit(1);
  const auto count = static_cast<double>(appended);
  return {{"records_per_second", count / wall},
          {"worker_ns", worker_cpu / count * 1e9},
          {"append_ns", append_cpu / count * 1e9},
          {"bytes_per_record", static_cast<double>(stats.bytes_sent) / count},
          {"batches", static_cast<double>(stats.batches)},
          {"resident_mib", resident - resident_before}};
}

void print(const std::map<std::string, std::vector<Figures>>& measured) {
  const char* separator = "{";
  for (const auto& [name, rounds] : measured) {
    std::printf("%s\"%s\":{", separator, name.c_str());
    separator = ",\n ";
    for (const auto& [what, first] : rounds.front()) {
      std::vector<double> sorted;
      for (const Figures& round : rounds) sorted.push_back(round.at(what));
      std::sort(sorted.begin(), sorted.end());
      std::printf("%s\"%s\":{\"median\":%.6g,\"min\":%.6g,\"max\":%.6g}",
                  what == rounds.front().begin()->first ? "" : ",", what.c_str(),
                  sorted[sorted.size() / 2], sorted.front(), sorted.back());
    }
    std::printf("}");
  }
  std::printf("}\n");
}

}  // namespace
}  // namespace log_aggregator

int main(int count, char** arguments) {
  using namespace log_aggregator;
  const int rounds = count >= 3 ? std::atoi(arguments[2]) : 0;
  const std::string_view only = count == 4 ? arguments[3] : "";
  if (rounds < 1 || count > 4) {
    std::fprintf(stderr, "usage: %s URL ROUNDS [ENCODING]\n", arguments[0]);
    return 2;
  }
  const std::vector<std::string> records = make_records();
  std::map<std::string, std::vector<Figures>> measured;
  for (int round = 0; round < rounds; ++round) {
    for (const Kind& kind : kKinds) {
      if (!only.empty() && only != kind.name) continue;
      measured[std::string("backlog, ") + kind.name].push_back(
          measure_backlog(arguments[1], kind.compression, records));
      measured[std::string("stream, ") + kind.name].push_back(
          measure_stream(arguments[1], kind.compression, records, 0));
      measured[std::string("paced, ") + kind.name].push_back(
          measure_stream(arguments[1], kind.compression, records, kPace));
    }
  }
  print(measured);
  return 0;
}
