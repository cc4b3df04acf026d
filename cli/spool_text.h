// What `log-aggregator spool` shows, as text for people.

#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

#include "log_aggregator/spool.h"

namespace log_aggregator::cli {

// "12,345"
std::string number_text(std::uint64_t number);
// "1 record", "12,345 records"
std::string count_text(std::uint64_t number, const char* one);
// "17 B", "1.5 MiB"
std::string size_text(std::uint64_t bytes);
// "12 s", "5 min", "3 h", "4 d"; negative ages, of a clock that was set back, are none.
std::string age_text(std::chrono::nanoseconds age);

// The word for it in JSON.
const char* damage_name(DamageKind kind);
// One line without its end: where, what, and what is lost by it.
std::string damage_text(const SpoolDamage& damage);

// One line of at most `columns`: how much of the total is done.
std::string progress_text(const SpoolDrain::Progress& progress, std::size_t columns);

}  // namespace log_aggregator::cli
