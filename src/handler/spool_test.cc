#include "log_aggregator/spool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "src/base/files.h"
#include "src/journal/journal.h"
#include "src/journal/segment.h"
#include "src/testing/loopback_server.h"
#include "src/testing/sent_records.h"
#include "src/testing/temporary_directory.h"

namespace log_aggregator {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::LoopbackServer;
using testing::Received;
using testing::Reply;
using ::testing::SizeIs;

constexpr int kInfo = 20;
constexpr std::size_t kSegmentBytes = 4096;
constexpr std::size_t kHeader = 128;

// The clock by which records are stamped.
std::int64_t coarse_now_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

// A spool of journals that have lost their process, made by the real Journal over real files.
class SpoolDirectoryTest : public ::testing::Test {
 protected:
  std::unique_ptr<Journal> open_journal() {
    return std::make_unique<Journal>(Journal::Limits{.capacity_bytes = 1 << 20,
                                                     .segment_bytes = kSegmentBytes,
                                                     .overflow = Overflow::drop_newest,
                                                     .block_timeout = milliseconds(0)},
                                     Journal::SpoolPlan{.files = real_files(),
                                                        .root = root(),
                                                        .mapped = true,
                                                        .memory_bytes = 64 << 10,
                                                        .durability = Durability::process,
                                                        .sync_interval = milliseconds(0)});
  }

  // Records {"n":1}, {"n":2}, ... with enough beside to fill a segment with `per_segment` of them.
  void log(Journal& journal, int records, std::size_t bytes = 500) {
    for (int i = 0; i < records; ++i) {
      std::string text = "{\"n\":" + std::to_string(++logged_) + ",\"x\":\"";
      text.append(bytes, 'x').append("\"}");
      ASSERT_TRUE(journal.append(kInfo, text).taken);
    }
  }

  void settle(Journal& journal, int records) {
    Settlement settlement;
    for (int i = 0; i < records; ++i) {
      const auto record = journal.peek();
      ASSERT_TRUE(record);
      settlement.through = record->sequence;
      ++settlement.records;
      settlement.bytes += record->payload.size();
      journal.advance();
    }
    journal.unread();
    journal.settle(settlement);
    journal.maintain({});
  }

  // A journal of a dead process with that many records, and its uuid.
  std::string leave(int records, int settled = 0) {
    const auto journal = open_journal();
    log(*journal, records);
    if (settled > 0) settle(*journal, settled);
    return journal->id();
  }

  const std::string& root() const { return directory_.path(); }
  std::string segment(const std::string& id, int number) const {
    char name[40];
    std::snprintf(name, sizeof name, "/%016x.segment", number);
    return root() + "/" + id + name;
  }

  void flip_byte(const std::string& path, std::size_t offset) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(offset));
    const char byte = static_cast<char>(file.get() ^ 0x40);
    file.seekp(static_cast<std::streamoff>(offset));
    file.put(byte);
    ASSERT_TRUE(file.good());
  }

  // Where the record with this number (from 1) begins in the only segment.
  static std::size_t frame(int number, std::size_t bytes = 500) {
    const std::size_t payload = bytes + std::string("{\"n\":1,\"x\":\"\"}").size();
    return kHeader + static_cast<std::size_t>(number - 1) * Segment::frame_bytes(payload);
  }

  std::vector<SpooledJournal> list() {
    auto journals = list_spool(root());
    EXPECT_TRUE(journals.ok()) << journals.status().message();
    return journals.ok() ? *journals : std::vector<SpooledJournal>();
  }
  std::vector<CheckedJournal> verify() {
    auto journals = verify_spool(root());
    EXPECT_TRUE(journals.ok()) << journals.status().message();
    return journals.ok() ? *journals : std::vector<CheckedJournal>();
  }
  std::vector<SpoolDamage> damage() {
    const auto journals = verify();
    return journals.size() == 1 ? journals[0].damage : std::vector<SpoolDamage>();
  }

  // Every file with its contents.
  std::string snapshot() const {
    std::vector<std::string> files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root())) {
      std::string text = entry.path().string();
      if (entry.is_regular_file()) {
        std::ifstream file(entry.path(), std::ios::binary);
        text.append(std::istreambuf_iterator<char>(file), {});
      }
      files.push_back(text);
    }
    std::sort(files.begin(), files.end());
    std::string all;
    for (const std::string& file : files) all += file + '\n';
    return all;
  }

  Options options(const LoopbackServer& server) const {
    Options options;
    options.api_endpoint = server.url("/api/logs");
    options.spool_dir = root();
    options.batch_size = 3;
    options.retry_delay = milliseconds(1);
    options.compression = Compression::none;
    options.report = [](std::string_view) {};
    return options;
  }

  SpoolDrain::Report drain(const LoopbackServer& server) { return drain(options(server)); }
  SpoolDrain::Report drain(Options options) {
    auto drain = SpoolDrain::create(std::move(options));
    EXPECT_TRUE(drain.ok()) << drain.status().message();
    auto report = (*drain)->run({});
    EXPECT_TRUE(report.ok()) << report.status().message();
    return *report;
  }

  // The records that the server was sent, by number.
  static std::vector<std::uint64_t> sent(const LoopbackServer& server) {
    std::vector<std::string> records;
    for (const Received& request : server.received()) {
      if (request.method != "POST") continue;
      for (auto& each : testing::records_of(request.header("content-type"), request.body)) {
        records.push_back(std::move(each));
      }
    }
    return testing::numbers_of(records, "n");
  }

  static Reply answer(int status, std::string body = {}) {
    Reply reply;
    reply.status = status;
    reply.body = std::move(body);
    return reply;
  }
  static Reply healthy(const Received& request) {
    constexpr const char* kHealth =
        R"({"batch":{"max_records":100,"max_bytes":1000000},"formats":["array"]})";
    return answer(200, request.method == "GET" ? kHealth : "");
  }

 private:
  testing::TemporaryDirectory directory_;
  int logged_ = 0;
};

// ---- list

TEST_F(SpoolDirectoryTest, list_counts_what_is_still_to_deliver) {
  const std::string id = leave(20, 5);
  const auto journals = list();
  ASSERT_THAT(journals, SizeIs(1));
  EXPECT_EQ(journals[0].id, id);
  EXPECT_FALSE(journals[0].in_use);
  EXPECT_EQ(journals[0].records, 15U);
  EXPECT_GT(journals[0].record_bytes, 15U * 500U);
  EXPECT_EQ(journals[0].settled_through, 5U);
  EXPECT_GE(journals[0].segments, 3U);
  EXPECT_EQ(journals[0].file_bytes, journals[0].segments * kSegmentBytes);
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  EXPECT_GT(journals[0].oldest_ns, std::chrono::nanoseconds(now - std::chrono::hours(1)).count());
  EXPECT_LE(journals[0].oldest_ns, journals[0].newest_ns);
  EXPECT_THAT(journals[0].trouble, IsEmpty());
}

TEST_F(SpoolDirectoryTest,
       list_shows_the_journal_with_the_oldest_record_first_and_empty_ones_last) {
  const std::string empty = leave(1, 1);
  const std::string older = leave(1);
  const std::int64_t then = list()[0].newest_ns;
  while (coarse_now_ns() <= then) std::this_thread::yield();
  const std::string newer = leave(1);
  const auto journals = list();
  ASSERT_THAT(journals, SizeIs(3));
  EXPECT_EQ(journals[0].id, older);
  EXPECT_EQ(journals[1].id, newer);
  EXPECT_EQ(journals[2].id, empty);
}

TEST_F(SpoolDirectoryTest, list_and_verify_say_which_journal_is_in_use) {
  const auto journal = open_journal();
  log(*journal, 3);
  ASSERT_THAT(list(), SizeIs(1));
  EXPECT_TRUE(list()[0].in_use);
  EXPECT_EQ(list()[0].records, 3U);
  EXPECT_TRUE(verify()[0].in_use);
  EXPECT_THAT(damage(), IsEmpty());
  log(*journal, 1);  // its lock was not taken from it
  EXPECT_TRUE(list()[0].in_use);
}

TEST_F(SpoolDirectoryTest, list_and_verify_change_nothing) {
  leave(20, 5);
  flip_byte(segment(leave(3), 1), frame(2) + 40);
  const std::string other = root() + "/0b57f0f6-4c39-4f5b-8f0f-3a6d2c116f1c";
  std::filesystem::create_directory(other);  // of one who died before it had a lock
  const std::string before = snapshot();
  EXPECT_THAT(list(), SizeIs(2));
  EXPECT_THAT(verify(), SizeIs(2));
  EXPECT_EQ(snapshot(), before);
}

// ---- what is no spool

TEST_F(SpoolDirectoryTest, a_directory_that_is_missing_a_symlink_or_open_to_others_is_refused) {
  const std::string link = root() + "/link";
  const std::string open = root() + "/open";
  std::filesystem::create_directory_symlink(root(), link);
  std::filesystem::create_directory(open);
  std::filesystem::permissions(open, std::filesystem::perms::all);
  const LoopbackServer server(healthy);
  for (const std::string& path : {root() + "/none", link, open}) {
    EXPECT_EQ(list_spool(path).status().code(), StatusCode::invalid_argument) << path;
    EXPECT_EQ(verify_spool(path).status().code(), StatusCode::invalid_argument) << path;
    Options chosen = options(server);
    chosen.spool_dir = path;
    EXPECT_EQ(SpoolDrain::create(chosen).status().code(), StatusCode::invalid_argument) << path;
  }
  EXPECT_FALSE(std::filesystem::exists(root() + "/none"));
}

// ---- verify

TEST_F(SpoolDirectoryTest, verify_finds_nothing_wrong_with_what_a_dead_process_has_left) {
  leave(30, 7);
  leave(1);
  for (const CheckedJournal& journal : verify()) EXPECT_THAT(journal.damage, IsEmpty());
}

TEST_F(SpoolDirectoryTest, verify_names_the_record_whose_payload_is_damaged) {
  const std::string id = leave(5, 1);
  flip_byte(segment(id, 1), frame(3) + 40);
  ASSERT_THAT(damage(), SizeIs(1));
  const SpoolDamage found = damage()[0];
  EXPECT_EQ(found.kind, DamageKind::payload);
  EXPECT_EQ(found.segment, 1U);
  EXPECT_EQ(found.offset, frame(3));
  EXPECT_EQ(found.first_sequence, 3U);
  EXPECT_EQ(found.last_sequence, 3U);
  EXPECT_EQ(found.lost, 1U);
  EXPECT_EQ(verify()[0].records, 4U);
}

TEST_F(SpoolDirectoryTest, verify_names_the_record_whose_header_is_damaged) {
  const std::string id = leave(5);
  flip_byte(segment(id, 1), frame(3) + 9);
  ASSERT_THAT(damage(), SizeIs(1));
  const SpoolDamage found = damage()[0];
  EXPECT_EQ(found.kind, DamageKind::frame_header);
  EXPECT_EQ(found.offset, frame(3));
  EXPECT_EQ(found.bytes, frame(4) - frame(3));
  EXPECT_EQ(found.first_sequence, 3U);
  EXPECT_EQ(found.lost, 1U);
}

TEST_F(SpoolDirectoryTest, verify_knows_how_many_records_are_missing_at_the_end) {
  const std::string id = leave(5);
  std::filesystem::resize_file(segment(id, 1), frame(4));
  std::uint64_t lost = 0;
  for (const SpoolDamage& each : damage()) lost += each.lost;
  EXPECT_EQ(lost, 2U);
}

TEST_F(SpoolDirectoryTest, damage_to_a_settled_record_loses_nothing) {
  const std::string id = leave(5, 3);
  flip_byte(segment(id, 1), frame(2) + 40);
  ASSERT_THAT(damage(), SizeIs(1));
  EXPECT_EQ(damage()[0].first_sequence, 2U);
  EXPECT_EQ(damage()[0].lost, 0U);
}

TEST_F(SpoolDirectoryTest, verify_tells_the_numbers_that_a_removed_segment_had) {
  const std::string id = leave(20);
  const auto before = verify()[0];
  std::filesystem::remove(segment(id, 2));
  const auto after = verify()[0];
  ASSERT_THAT(after.damage, SizeIs(1));
  EXPECT_EQ(after.damage[0].kind, DamageKind::missing);
  EXPECT_EQ(after.damage[0].segment, 0U);
  EXPECT_EQ(after.damage[0].lost, before.records - after.records);
  EXPECT_EQ(after.damage[0].lost,
            after.damage[0].last_sequence - after.damage[0].first_sequence + 1);
}

TEST_F(SpoolDirectoryTest, verify_tells_a_damaged_segment_header_hint_and_cursor_slot_apart) {
  const std::string id = leave(5, 1);
  flip_byte(segment(id, 1), 34);
  flip_byte(segment(id, 1), 65);
  flip_byte(root() + "/" + id + "/cursor", 4096 + 9);
  std::vector<DamageKind> kinds;
  for (const SpoolDamage& each : damage()) {
    kinds.push_back(each.kind);
    EXPECT_EQ(each.lost, 0U);
  }
  EXPECT_THAT(kinds, ElementsAre(DamageKind::cursor_slot, DamageKind::segment_header,
                                 DamageKind::commit_hint));
}

TEST_F(SpoolDirectoryTest, a_hint_that_was_half_written_when_its_owner_died_is_no_damage) {
  const std::string id = leave(5);
  std::string hint(12, '\0');
  {
    std::ifstream file(segment(id, 1), std::ios::binary);
    file.seekg(64).read(hint.data(), 12);
  }
  const auto put = [&](std::uint32_t length, std::uint32_t records) {
    std::memcpy(hint.data(), &length, sizeof length);
    std::memcpy(hint.data() + 4, &records, sizeof records);
    std::fstream file(segment(id, 1), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(64).write(hint.data(), 12);
  };
  put(static_cast<std::uint32_t>(frame(5)), 4);  // with the checksum of the next
  EXPECT_THAT(damage(), IsEmpty());
  put(static_cast<std::uint32_t>(frame(5)), 5);
  EXPECT_THAT(damage(), IsEmpty());
  put(static_cast<std::uint32_t>(frame(4)), 3);
  EXPECT_THAT(damage(), SizeIs(1));
}

TEST_F(SpoolDirectoryTest, a_file_that_was_made_ready_and_never_used_is_no_damage) {
  const auto journal = open_journal();
  const std::string id = journal->id();
  log(*journal, 5);
  journal->maintain({});  // prepares the next file
  ASSERT_TRUE(std::filesystem::exists(segment(id, 2)));
  EXPECT_THAT(damage(), IsEmpty());
  log(*journal, 4);
  settle(*journal, 8);  // the first file is used again
  EXPECT_THAT(damage(), IsEmpty());
}

TEST_F(SpoolDirectoryTest, any_flipped_bit_of_a_small_spool_is_found_or_harmless) {
  const std::string id = leave(3);
  const std::string path = segment(id, 1);
  const std::size_t committed = frame(4);
  for (std::size_t offset = 0; offset < committed; ++offset) {
    const bool unused = offset >= 76 && offset < kHeader;
    const std::size_t in_frame = (offset - kHeader) % (frame(2) - frame(1));
    const bool padding = offset >= kHeader && in_frame >= 32 + 514;
    flip_byte(path, offset);
    const auto found = damage();
    EXPECT_EQ(found.empty(), unused || padding) << "byte " << offset;
    std::uint64_t lost = 0;
    for (const SpoolDamage& each : found) lost += each.lost;
    EXPECT_EQ(lost, offset >= kHeader && !padding ? 1U : 0U) << "byte " << offset;
    flip_byte(path, offset);
  }
}

// ---- drain

TEST_F(SpoolDirectoryTest, drain_delivers_everything_and_removes_the_journals) {
  leave(10, 4);
  leave(5);
  const LoopbackServer server(healthy);
  auto drain = SpoolDrain::create(options(server));
  ASSERT_TRUE(drain.ok());
  std::uint64_t total = 0;
  std::uint64_t delivered = 0;
  const auto report = (*drain)->run([&](const SpoolDrain::Progress& progress) {
    total = progress.total;
    EXPECT_GE(progress.delivered, delivered);
    delivered = progress.delivered;
  });
  ASSERT_TRUE(report.ok());
  EXPECT_TRUE(report->all_delivered());
  EXPECT_EQ(total, 11U);
  EXPECT_EQ(report->progress.delivered, 11U);
  EXPECT_THAT(sent(server), ::testing::UnorderedElementsAre(5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
  EXPECT_TRUE(std::filesystem::is_empty(root()));
}

TEST_F(SpoolDirectoryTest, an_empty_spool_is_drained_without_a_request) {
  const LoopbackServer server(healthy);
  EXPECT_TRUE(drain(server).all_delivered());
  EXPECT_EQ(server.connections(), 0);
}

TEST_F(SpoolDirectoryTest, drain_leaves_a_journal_in_use_to_its_owner) {
  const auto journal = open_journal();
  log(*journal, 3);
  leave(2);
  const LoopbackServer server(healthy);
  const auto report = drain(server);
  EXPECT_TRUE(report.all_delivered());
  EXPECT_THAT(report.in_use, ElementsAre(journal->id()));
  EXPECT_THAT(sent(server), ElementsAre(4, 5));
  EXPECT_EQ(list()[0].records, 3U);
}

TEST_F(SpoolDirectoryTest, drain_gives_up_after_the_retries_and_leaves_the_records) {
  leave(5);
  const LoopbackServer server([](const Received& request) {
    if (request.method == "GET") return healthy(request);
    return answer(503, "later");
  });
  Options chosen = options(server);
  chosen.retry_attempts = 2;
  const auto report = drain(chosen);
  EXPECT_FALSE(report.all_delivered());
  EXPECT_THAT(report.error, HasSubstr("503"));
  EXPECT_EQ(report.left, 5U);
  EXPECT_EQ(report.progress.delivered + report.progress.dropped, 0U);
  std::size_t posts = 0;
  for (const Received& request : server.received()) posts += request.method == "POST" ? 1 : 0;
  EXPECT_EQ(posts, 3U);
  EXPECT_EQ(list()[0].records, 5U);
  EXPECT_FALSE(list()[0].in_use);
}

TEST_F(SpoolDirectoryTest, a_failure_in_the_middle_leaves_what_was_not_delivered) {
  leave(5);
  int posts = 0;
  const LoopbackServer server([&](const Received& request) {
    if (request.method == "GET" || ++posts == 1) return healthy(request);
    return answer(503);
  });
  Options chosen = options(server);
  chosen.retry_attempts = 0;
  const auto report = drain(chosen);
  EXPECT_EQ(report.progress.delivered, 3U);
  EXPECT_EQ(report.left, 2U);
  const LoopbackServer mended(healthy);
  EXPECT_TRUE(drain(mended).all_delivered());
  EXPECT_THAT(sent(mended), ElementsAre(4, 5));
}

TEST_F(SpoolDirectoryTest, an_answer_about_the_address_or_the_token_drops_nothing) {
  leave(5);
  for (const int status : {301, 401, 403, 404, 405, 415}) {
    const LoopbackServer server([&](const Received&) { return answer(status); });
    Options chosen = options(server);
    chosen.retry_attempts = 1;
    const auto report = drain(chosen);
    EXPECT_THAT(report.error, HasSubstr(std::to_string(status)));
    EXPECT_EQ(report.progress.dropped, 0U) << status;
    EXPECT_EQ(report.left, 5U) << status;
  }
}

TEST_F(SpoolDirectoryTest, records_that_the_api_refuses_are_dropped_and_reported) {
  leave(5);
  const LoopbackServer server([](const Received& request) {
    const bool bad = request.body.find("\"n\":2,") != std::string::npos;
    return bad ? answer(400, "no") : healthy(request);
  });
  std::string reports;
  Options chosen = options(server);
  chosen.report = [&](std::string_view line) { reports += line; };
  const auto report = drain(chosen);
  EXPECT_FALSE(report.all_delivered());
  EXPECT_THAT(report.error, IsEmpty());
  EXPECT_EQ(report.progress.dropped, 1U);
  EXPECT_EQ(report.progress.delivered, 4U);
  EXPECT_EQ(report.left, 0U);
  EXPECT_THAT(reports, HasSubstr("refused"));
}

TEST_F(SpoolDirectoryTest, records_that_are_damaged_are_dropped_and_reported) {
  flip_byte(segment(leave(5), 1), frame(3) + 40);
  const LoopbackServer server(healthy);
  const auto report = drain(server);
  EXPECT_FALSE(report.all_delivered());
  EXPECT_EQ(report.progress.dropped, 1U);
  EXPECT_THAT(sent(server), ElementsAre(1, 2, 4, 5));
}

TEST_F(SpoolDirectoryTest, stop_ends_a_drain_after_the_answer_that_it_waits_for) {
  leave(9);
  const LoopbackServer server(healthy);
  auto drain = SpoolDrain::create(options(server));
  ASSERT_TRUE(drain.ok());
  const auto report = (*drain)->run([&](const SpoolDrain::Progress& progress) {
    if (progress.delivered > 0) (*drain)->stop();
  });
  ASSERT_TRUE(report.ok());
  EXPECT_TRUE(report->progress.stopped);
  EXPECT_FALSE(report->all_delivered());
  EXPECT_EQ(report->left, 9U - sent(server).size());
  EXPECT_GE(report->left, 3U);
  EXPECT_EQ(list()[0].records, report->left);
}

TEST_F(SpoolDirectoryTest, stop_does_not_wait_for_a_retry) {
  leave(1);
  const LoopbackServer server([](const Received&) { return answer(503); });
  Options chosen = options(server);
  chosen.retry_delay = std::chrono::hours(1);
  auto drain = SpoolDrain::create(chosen);
  ASSERT_TRUE(drain.ok());
  std::promise<void> failed;
  bool told = false;
  std::thread stopper([&] {
    failed.get_future().wait();
    (*drain)->stop();
  });
  const auto report = (*drain)->run([&](const SpoolDrain::Progress& progress) {
    if (!progress.last_error.empty() && !std::exchange(told, true)) failed.set_value();
  });
  stopper.join();
  ASSERT_TRUE(report.ok());
  EXPECT_TRUE(report->progress.stopped);
  EXPECT_EQ(report->left, 1U);
}

TEST_F(SpoolDirectoryTest, two_drains_at_once_deliver_each_journal_once) {
  for (int i = 0; i < 8; ++i) leave(20);
  const LoopbackServer server(healthy);
  std::thread other([&] { drain(server); });
  drain(server);
  other.join();
  const auto numbers = sent(server);
  EXPECT_THAT(numbers, SizeIs(160));
  EXPECT_EQ(std::set<std::uint64_t>(numbers.begin(), numbers.end()).size(), 160U);
  EXPECT_THAT(list(), IsEmpty());
}

}  // namespace
}  // namespace log_aggregator
