#include "cli/send_text.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

namespace log_aggregator::cli {
namespace {

using std::chrono::seconds;

const SendProgress kHalf{.name = "access.log",
                         .records = 12'000,
                         .offset = 6 << 20,
                         .from = 4 << 20,
                         .end = 12 << 20,
                         .elapsed = seconds(2)};

TEST(SendTextTest, progress_tells_how_much_is_done_how_fast_and_how_long_it_takes) {
  EXPECT_EQ(send_progress_text(kHalf, 120),
            "access.log [############............]  50 %  12,000 records  6,000/s  1.0 MiB/s"
            "  0:06 left");
}

TEST(SendTextTest, progress_leaves_out_what_does_not_fit) {
  EXPECT_EQ(send_progress_text(kHalf, 60),
            "access.log [############............]  50 %  12,000 records");
  EXPECT_EQ(send_progress_text(kHalf, 20), "access.log");
  EXPECT_EQ(send_progress_text(kHalf, 5), "");
}

TEST(SendTextTest, progress_of_what_has_no_known_end_has_no_bar) {
  EXPECT_EQ(send_progress_text({.name = "stdin", .records = 1, .elapsed = seconds(1)}, 120),
            "stdin  1 record  1/s  0 B/s");
}

TEST(SendTextTest, progress_at_the_very_beginning_and_end_is_sound) {
  EXPECT_EQ(send_progress_text({.name = "a", .end = 10}, 120),
            "a [........................]   0 %  0 records  0/s  0 B/s");
  EXPECT_EQ(send_progress_text({.name = "a", .offset = 10, .end = 10, .elapsed = seconds(10)}, 120),
            "a [########################] 100 %  0 records  0/s  1 B/s  0:00 left");
}

TEST(SendTextTest, names_are_neutralised_and_shortened_between_characters) {
  EXPECT_EQ(send_progress_text({.name = "a\x1b[2Jb"}, 20), "a\\x1b[2Jb  0 records");
  EXPECT_EQ(send_progress_text({.name = "x" + std::string(40, 'y')}, 40).substr(0, 33),
            "x" + std::string(29, 'y') + "…");
  std::string umlauts = "x";
  for (int i = 0; i < 20; ++i) umlauts += "ä";
  EXPECT_EQ(send_progress_text({.name = umlauts}, 34), umlauts.substr(0, 29) + "…");
}

TEST(SendTextTest, the_sum_is_a_sentence) {
  EXPECT_EQ(send_sum_text({.name = "a.log", .sent = 1'234, .already = 1, .failed = 2}),
            "sent 1,234 records of a.log (1 already there), 2 failed");
}

}  // namespace
}  // namespace log_aggregator::cli
