#include "cli/event_stream.h"

#include <algorithm>

namespace log_aggregator::cli {

bool EventStream::feed(std::string_view bytes, const std::function<bool(const Event&)>& on_event) {
  while (true) {
    const auto end = bytes.find('\n');
    buffer_ += bytes.substr(0, end);
    if (end == std::string_view::npos) return true;
    bytes.remove_prefix(end + 1);
    if (buffer_.ends_with('\r')) buffer_.pop_back();
    if (!take_line(buffer_, on_event)) return false;
    buffer_.clear();
  }
}

bool EventStream::take_line(std::string_view line,
                            const std::function<bool(const Event&)>& on_event) {
  if (line.empty()) {
    const bool go_on = !has_data_ || on_event({type_, data_});
    type_.clear();
    data_.clear();
    has_data_ = false;
    return go_on;
  }
  const auto colon = std::min(line.find(':'), line.size());
  const std::string_view name = line.substr(0, colon);
  std::string_view value = line.substr(std::min(colon + 1, line.size()));
  if (value.starts_with(' ')) value.remove_prefix(1);
  if (name == "id") last_id_ = value;
  if (name == "event") type_ = value;
  if (name == "data") {
    if (has_data_) data_ += '\n';
    data_ += value;
    has_data_ = true;
  }
  return true;
}

void EventStream::restart() {
  buffer_.clear();
  type_.clear();
  data_.clear();
  has_data_ = false;
}

}  // namespace log_aggregator::cli
