#include "src/format/body.h"

#include <algorithm>
#include <cstring>

namespace log_aggregator {

std::size_t TextBody::read(char* into, std::size_t most) {
  const std::size_t count = std::min(most, text_.size() - at_);
  std::memcpy(into, text_.data() + at_, count);
  at_ += count;
  return count;
}

RecordsBody::RecordsBody(Shape shape, std::span<const RecordView> records)
    : shape_(shape), records_(records), size_(body_bytes(shape, records)) {
  rewind();
}

void RecordsBody::rewind() {
  next_ = 0;
  at_ = 0;
  opened_ = shape_ != Shape::array;
}

char RecordsBody::end_of(const RecordView& record) const {
  switch (shape_) {
    case Shape::ndjson:
      return '\n';
    case Shape::array:
      return &record == &records_.back() ? ']' : ',';
    case Shape::object:
      break;
  }
  return 0;
}

std::size_t RecordsBody::read(char* into, std::size_t most) {
  char* out = into;
  char* const end = into + most;
  if (!opened_ && out < end) {
    *out++ = '[';
    opened_ = true;
  }
  while (next_ < records_.size() && out < end) {
    const RecordView& record = records_[next_];
    const auto room = static_cast<std::size_t>(end - out);
    const std::size_t count = std::min(record.payload.size() - at_, room);
    std::memcpy(out, record.payload.data() + at_, count);
    out += count;
    at_ += count;
    if (at_ < record.payload.size()) break;
    const char last = end_of(record);
    if (last != 0) {
      if (out == end) break;
      *out++ = last;
    }
    ++next_;
    at_ = 0;
  }
  return static_cast<std::size_t>(out - into);
}

}  // namespace log_aggregator
