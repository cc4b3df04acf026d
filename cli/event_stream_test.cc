#include "cli/event_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace log_aggregator::cli {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// "type|data" of each event.
std::vector<std::string> events(EventStream& stream, std::string_view bytes) {
  std::vector<std::string> found;
  stream.feed(bytes, [&](const Event& event) {
    found.push_back(std::string(event.type) + "|" + std::string(event.data));
    return true;
  });
  return found;
}

TEST(EventStream, ReadsEventsHoweverTheyAreCut) {
  constexpr std::string_view kText =
      "id: 7\n\n:\n\nid: 8\ndata: {\"id\":8}\n\nevent: missed\ndata: 1\ndata:2\n\ndata\n\n";
  for (std::size_t size = 1; size <= kText.size(); ++size) {
    EventStream stream;
    std::vector<std::string> found;
    for (std::size_t at = 0; at < kText.size(); at += size) {
      for (std::string& event : events(stream, kText.substr(at, size))) found.push_back(event);
    }
    EXPECT_THAT(found, ElementsAre("|{\"id\":8}", "missed|1\n2", "|")) << size;
    EXPECT_EQ(stream.last_id(), "8");
  }
}

TEST(EventStream, RemembersTheIdOfABlockWithoutData) {
  EventStream stream;
  EXPECT_THAT(events(stream, "id: 7\r\n\r\n"), IsEmpty());
  EXPECT_EQ(stream.last_id(), "7");
}

TEST(EventStream, ForgetsHalfAnEventWhenAConnectionBeginsAnew) {
  EventStream stream;
  EXPECT_THAT(events(stream, "id: 7\ndata: a\n\nevent: x\ndata: hal"), ElementsAre("|a"));
  stream.restart();
  EXPECT_THAT(events(stream, "data: b\n\n"), ElementsAre("|b"));
  EXPECT_EQ(stream.last_id(), "7");
}

TEST(EventStream, StopsWhenItIsTold) {
  EventStream stream;
  int count = 0;
  EXPECT_FALSE(stream.feed("data: a\n\ndata: b\n\n", [&](const Event&) { return ++count < 1; }));
  EXPECT_EQ(count, 1);
}

}  // namespace
}  // namespace log_aggregator::cli
