#include "src/handler/backend.h"

#include <exception>

namespace log_aggregator {

bool Handler::Backend::log(const Record& record) {
  const int severity = static_cast<int>(record.level);
  try {
    BorrowedEncoder encoder(records_);
    return *log_json(severity, encoder->encode(record), true);
  } catch (const std::exception&) {  // no memory
    unkept_.count(severity);
    return false;
  }
}

}  // namespace log_aggregator
