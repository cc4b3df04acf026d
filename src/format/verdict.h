// What an API's answer means for the records of a request.

#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace log_aggregator {

enum class Fate {
  stored,        // all of them: 2xx
  partly,        // all but the refused ones: 400 that names them, as our collector answers
  retry,         // none, for now: 408, 421, 429, 5xx
  too_large,     // 413: smaller requests may pass
  unsupported,   // 415: another format or encoding may pass
  unauthorized,  // 401, 403: other credentials may pass
  poisoned,      // 400, 422 that name nobody: some record among them is bad
  refused,       // anything else: the same again would fail again
};

struct RefusedRecord {
  std::size_t index = 0;  // in the request
  std::string reason;
};

struct Verdict {
  Fate fate = Fate::refused;
  std::vector<RefusedRecord> refused;  // only with Fate::partly
};

// `records` is how many the request held.
Verdict judge(int status, std::string_view body, std::size_t records);

}  // namespace log_aggregator
