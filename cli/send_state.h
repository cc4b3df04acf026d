// SendState is what `log-aggregator send` keeps of a file that it sends to an endpoint, so that it
// can go on when it is run again: how far it is acknowledged, and how the file is known again. One
// file of JSON for each, in a directory of its own, for its owner only.
//
// SendStateFile keeps it. What save() has written survives a power cut, and is either the old state
// or the new one. While one exists, no other process gets one for the same file and endpoint.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "cli/send_input.h"
#include "log_aggregator/status.h"
#include "src/base/files.h"

namespace log_aggregator::cli {

// Bytes of a file, to be known again: those before a place.
struct Fingerprint {
  std::uint64_t bytes = 0;
  std::uint32_t crc = 0;

  bool operator==(const Fingerprint&) const = default;
};

// Of the last bytes before `end`, at most 4 KiB.
Result<Fingerprint> fingerprint_before(int descriptor, std::uint64_t end);
// Of the first bytes of a file of that size.
Result<Fingerprint> fingerprint_head(int descriptor, std::uint64_t size);

struct SendState {
  std::string journal;  // the uuid under which the collector knows its records
  InputFormat format = InputFormat::lines;
  // What a run has taken up ends there. A text that ends there although nothing closes it is sent
  // as it is: more may stand behind it by the next run, but the same number means the same text.
  std::uint64_t end = 0;
  Fingerprint head{};  // of its first bytes

  // Acknowledged, or refused for good, or bad, up to here.
  InputPlace place{};
  Fingerprint before{};       // the place
  std::uint64_t records = 0;  // how many of the texts up to there were sent: the last one's number
  std::uint64_t refused = 0;  // how many of those were refused for good
  std::uint64_t bad = 0;      // texts up to there that are no records, and were not sent

  bool operator==(const SendState&) const = default;
};

// Whether the file begins as it did, has grown if anything, and has the same before the place.
Result<bool> is_same_file(const SendState& state, int descriptor, std::uint64_t size);

class SendStateFile {
 public:
  // `file` is an absolute path. Fails where another process has it, or nothing can be kept.
  static Result<std::unique_ptr<SendStateFile>> open(const std::string& directory,
                                                     const std::string& endpoint,
                                                     const std::string& file);

  // None where there is none.
  Result<std::optional<SendState>> load() const;
  Status save(const SendState& state);

 private:
  SendStateFile(std::string directory, std::string path, std::string endpoint, std::string file,
                std::unique_ptr<File> lock);

  const std::string directory_;
  const std::string path_;
  const std::string endpoint_;
  const std::string file_;
  const std::unique_ptr<File> lock_;
};

// $XDG_STATE_HOME/log-aggregator/send, by default in ~/.local/state; made where it is missing.
Result<std::string> send_state_directory();

}  // namespace log_aggregator::cli
