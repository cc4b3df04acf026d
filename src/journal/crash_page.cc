#include "src/journal/crash_page.h"

#include <utility>

#include "src/base/uuid.h"

namespace log_aggregator {
namespace {

constexpr int kCritical = 50;
constexpr std::size_t kUnit = 64 << 10;  // a multiple of any system's page

constexpr std::size_t segment_bytes(std::size_t record_bytes) {
  const std::size_t bytes = Segment::kFirstFrame + Segment::frame_bytes(record_bytes);
  return (bytes + kUnit - 1) / kUnit * kUnit;
}

}  // namespace

Result<std::unique_ptr<CrashPage>> CrashPage::create(Files& files, const std::string& root,
                                                     bool mapped, std::size_t record_bytes,
                                                     std::int64_t now_ns) {
  std::unique_ptr<CrashPage> page(new CrashPage(std::make_unique<Spool>(files, root, make_uuid())));
  auto segment = page->spool_->create_segment(1, segment_bytes(record_bytes), mapped);
  Status status = segment.status();
  // Its blocks now, so that a full disk cannot keep it from being written later.
  if (segment.ok()) status = (*segment)->fill();
  if (status.ok()) status = (*segment)->begin(1, now_ns);
  if (!status.ok()) return status;
  page->segment_ = std::move(*segment);
  return page;
}

CrashPage::~CrashPage() {
  if (!written_) spool_->discard();
}

bool CrashPage::write(std::string_view record, std::int64_t time_ns) {
  segment_->rewind();
  written_ = segment_->append(
      {.sequence = 1, .severity = kCritical, .time_ns = time_ns, .payload = record});
  return written_;
}

void CrashPage::leave_in_child() {
  segment_->close_in_child();
  spool_->close_in_child();
}

}  // namespace log_aggregator
