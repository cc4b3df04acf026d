// EventStream: reads server-sent events out of the bytes of a response, however they are cut.

#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace log_aggregator::cli {

struct Event {
  std::string_view type;  // empty: a message
  std::string_view data;
};

class EventStream {
 public:
  // Takes more bytes and calls `on_event` for each event that they complete. The event's views are
  // valid during the call. After a call that returns false no more is read.
  bool feed(std::string_view bytes, const std::function<bool(const Event&)>& on_event);

  // The id to go on from: of the newest block that named one. Empty: there was none.
  const std::string& last_id() const { return last_id_; }
  // Of a connection that begins anew; last_id() stays.
  void restart();

 private:
  bool take_line(std::string_view line, const std::function<bool(const Event&)>& on_event);

  std::string buffer_;  // the line that is not complete
  std::string type_;
  std::string data_;
  bool has_data_ = false;
  std::string last_id_;
};

}  // namespace log_aggregator::cli
