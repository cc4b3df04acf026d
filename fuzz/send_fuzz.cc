// Any bytes as a file that is sent: every part of it is one record, bad, or the end.

#include <sys/mman.h>
#include <unistd.h>

#include "cli/send_input.h"
#include "cli/send_record.h"
#include "fuzz/expect.h"

using namespace log_aggregator;

namespace {

// Places are told in order.
void read_all(int file, std::string_view content, cli::InputFormat format) {
  cli::SendInput input(file, format, {}, content.size(), 1 + content.size() / 3);
  cli::SendRecord records({.level = "INFO", .logger = "a", .host = "h"});
  cli::InputPlace before;
  while (true) {
    const auto text = input.next();
    expect(text.ok() && text->behind.offset >= before.offset);
    expect(text->behind.offset <= content.size());
    before = text->behind;
    if (text->kind == cli::InputText::Kind::end) return;
    if (text->kind == cli::InputText::Kind::broken) continue;
    expect(records.from_line(text->text, 0).size() <= cli::SendRecord::kMaxBytes);
    const auto record = records.from_json(text->text, 0);
    if (record.ok()) expect(record->find('\n') == std::string_view::npos);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  static const int file = ::memfd_create("sent", 0);
  const std::string_view content(reinterpret_cast<const char*>(bytes), size);
  expect(::ftruncate(file, 0) == 0);
  expect(::pwrite(file, content.data(), size, 0) == static_cast<ssize_t>(size));
  using enum cli::InputFormat;
  for (const auto format : {lines, ndjson, objects}) read_all(file, content, format);
  const auto detected = cli::detect_format(content, cli::FormatChoice::automatic);
  if (detected == array) read_all(file, content, array);
  return 0;
}
