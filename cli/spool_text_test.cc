#include "cli/spool_text.h"

#include <gtest/gtest.h>

#include <string>

namespace log_aggregator::cli {
namespace {

TEST(SpoolTextTest, numbers_are_grouped_by_thousands) {
  EXPECT_EQ(number_text(0), "0");
  EXPECT_EQ(number_text(999), "999");
  EXPECT_EQ(number_text(1'000), "1,000");
  EXPECT_EQ(number_text(UINT64_MAX), "18,446,744,073,709,551,615");
  EXPECT_EQ(count_text(1, "record"), "1 record");
  EXPECT_EQ(count_text(1'234, "record"), "1,234 records");
}

TEST(SpoolTextTest, sizes_have_the_unit_that_fits) {
  EXPECT_EQ(size_text(1023), "1023 B");
  EXPECT_EQ(size_text(1024), "1.0 KiB");
  EXPECT_EQ(size_text(std::uint64_t{3} << 29), "1.5 GiB");
  EXPECT_EQ(size_text(std::uint64_t{1} << 50), "1024.0 TiB");
}

TEST(SpoolTextTest, ages_have_the_unit_that_fits_and_are_never_negative) {
  using std::chrono::hours;
  using std::chrono::seconds;
  EXPECT_EQ(age_text(seconds(-5)), "0 s");
  EXPECT_EQ(age_text(seconds(119)), "119 s");
  EXPECT_EQ(age_text(seconds(120)), "2 min");
  EXPECT_EQ(age_text(hours(3)), "3 h");
  EXPECT_EQ(age_text(hours(49)), "2 d");
}

TEST(SpoolTextTest, damage_is_told_with_its_place_and_what_it_costs) {
  SpoolDamage damage{.kind = DamageKind::payload,
                     .segment = 0x1a,
                     .offset = 4'096,
                     .bytes = 120,
                     .first_sequence = 57,
                     .last_sequence = 57,
                     .lost = 1};
  EXPECT_EQ(damage_text(damage),
            "segment 000000000000001a at 4,096: the payload of record 57 is damaged; lost: 1");
  damage.lost = 0;
  EXPECT_EQ(damage_text(damage),
            "segment 000000000000001a at 4,096: the payload of record 57 is damaged; settled "
            "before, nothing is lost");
  damage = {.kind = DamageKind::missing, .first_sequence = 3, .last_sequence = 1'002, .lost = 9};
  EXPECT_EQ(damage_text(damage), "records 3 - 1,002 are missing; lost: 9");
  damage = {.kind = DamageKind::unreadable, .segment = 1};
  damage.why = "/spool/\x1b[31m: Permission denied";
  EXPECT_EQ(damage_text(damage), "segment 0000000000000001: /spool/\\x1b[31m: Permission denied");
}

TEST(SpoolTextTest, the_bar_fits_the_terminal_and_never_passes_its_end) {
  SpoolDrain::Progress progress;
  progress.total = 10'000;
  progress.delivered = 4'900;
  progress.dropped = 100;
  EXPECT_EQ(progress_text(progress, 79),
            "[####################....................]  50 %  5,000 of 10,000 records");
  for (std::size_t columns = 0; columns < 100; ++columns) {
    EXPECT_LE(progress_text(progress, columns).size(), columns);
  }
  progress.delivered = 20'000;  // more was found than had been counted
  EXPECT_NE(progress_text(progress, 79).find("100 %  20,100 of 20,100"), std::string::npos);
  EXPECT_NE(progress_text({}, 79).find("100 %"), std::string::npos);
}

}  // namespace
}  // namespace log_aggregator::cli
