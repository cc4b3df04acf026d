// Body: what a request carries, written where the transport wants it, and again from the beginning
// where that has to connect anew. Used by one thread.
//
// RecordsBody copies records from the segments where they lie, with what stands between them, so
// that nothing is joined beforehand. It refers to the records, which must outlive it.

#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <utility>

#include "src/format/api_format.h"
#include "src/journal/segment.h"

namespace log_aggregator {

class Body {
 public:
  virtual ~Body() = default;

  // All of it.
  virtual std::size_t size() const = 0;
  // Writes the next bytes, as many as there are but at most that many; returns how many. 0: it has
  // ended.
  virtual std::size_t read(char* into, std::size_t most) = 0;
  virtual void rewind() = 0;
  // Whether all of it was read.
  virtual bool ended() const = 0;
};

class TextBody final : public Body {
 public:
  explicit TextBody(std::string text) : text_(std::move(text)) {}

  std::size_t size() const override { return text_.size(); }
  std::size_t read(char* into, std::size_t most) override;
  void rewind() override { at_ = 0; }
  bool ended() const override { return at_ == text_.size(); }

 private:
  const std::string text_;
  std::size_t at_ = 0;
};

class RecordsBody final : public Body {
 public:
  // Exactly one record for Shape::object.
  RecordsBody(Shape shape, std::span<const RecordView> records);

  std::size_t size() const override { return size_; }
  std::size_t read(char* into, std::size_t most) override;
  void rewind() override;
  bool ended() const override { return next_ == records_.size(); }

 private:
  // What follows a record; 0: nothing.
  char end_of(const RecordView& record) const;

  const Shape shape_;
  const std::span<const RecordView> records_;
  std::size_t size_;
  std::size_t next_ = 0;  // the record to go on with
  std::size_t at_ = 0;    // in it
  bool opened_ = false;   // the bracket of an array is written
};

}  // namespace log_aggregator
