#include "src/handler/joined.h"

#include <algorithm>
#include <cerrno>
#include <memory>
#include <new>
#include <utility>

namespace log_aggregator {
namespace {

using std::chrono::milliseconds;

static_assert(kDropCauses <= LOG_AGGREGATOR_DROP_CAUSES);
static_assert(kDropLevels == LOG_AGGREGATOR_DROP_LEVELS);

Status no_memory() { return {StatusCode::out_of_memory, "no memory to join a handler"}; }

// What is known of the other handler's.
Options options_of(const HandlerFunctions& functions, const std::string& logger) {
  Options options;
  options.logger = logger;
  options.max_record_bytes = functions.max_record_bytes;
  return options;
}

RecordEncoder::Common records_of(const HandlerFunctions& functions, std::string_view logger) {
  RecordEncoder::Common records{
      .id = next_encoder_id(),
      .prefix = std::string(functions.record_prefix, functions.record_prefix_size),
      .logger = std::string(logger.empty() ? program_invocation_short_name : logger),
      .max_record_bytes = functions.max_record_bytes};
  for (std::size_t i = 0; i < functions.level_names_size; ++i) {
    const LogAggregatorLevelName& level = functions.level_names[i];
    records.level_names.emplace_back(level.level, level.name);
  }
  return records;
}

}  // namespace

Handler::Joined::Joined(const HandlerFunctions& functions, std::string_view logger)
    : Backend(records_of(functions, logger)),
      functions_(functions),
      options_(options_of(functions, records_.logger)) {
  functions_.retain(functions_.handler);
}

Handler::Joined::~Joined() {
  ForkWatch::remove(*this);
  functions_.release(functions_.handler);
}

std::optional<bool> Handler::Joined::log_json(int severity, std::string_view record,
                                              bool may_wait) {
  const int taken = functions_.log_json(functions_.handler, severity, record.data(), record.size(),
                                        may_wait ? 1 : 0);
  if (taken < 0) return std::nullopt;
  return taken != 0;
}

bool Handler::Joined::flush(std::optional<milliseconds> timeout) {
  const std::int64_t timeout_ms = timeout ? std::max<std::int64_t>(timeout->count(), 0) : -1;
  return functions_.flush(functions_.handler, timeout_ms) != 0 && unkept_.none();
}

bool Handler::Joined::check_connection() {
  return functions_.check_connection(functions_.handler) != 0;
}

Stats Handler::Joined::stats() const {
  LogAggregatorStats theirs{};
  if (functions_.stats(functions_.handler, &theirs, sizeof theirs) == 0) throw std::bad_alloc();
  Stats stats;
  stats.accepted = theirs.accepted;
  stats.delivered = theirs.delivered;
  stats.pending = theirs.pending;
  stats.pending_bytes = theirs.pending_bytes;
  stats.durable = theirs.durable;
  stats.adopted_delivered = theirs.adopted_delivered;
  stats.adopted_dropped = theirs.adopted_dropped;
  stats.retries = theirs.retries;
  stats.batches = theirs.batches;
  stats.bytes_sent = theirs.bytes_sent;
  stats.last_error = theirs.last_error;
  for (std::size_t cause = 0; cause < kDropCauses; ++cause) {
    std::copy_n(theirs.dropped[cause], kDropLevels, stats.dropped[cause].begin());
  }
  unkept_.add_to(stats);
  return stats;
}

Result<std::unique_ptr<Handler>> Handler::join(const HandlerFunctions& functions,
                                               std::string_view logger) try {
  if (functions.version != LOG_AGGREGATOR_HANDLER_FUNCTIONS_VERSION ||
      functions.size < sizeof functions) {
    return Status::invalid_argument(
        "the handler's functions are of version " + std::to_string(functions.version) + ", " +
        std::to_string(functions.size) + " bytes, and this library knows version " +
        std::to_string(LOG_AGGREGATOR_HANDLER_FUNCTIONS_VERSION) + ", " +
        std::to_string(sizeof functions) + " bytes: bring both to the same release");
  }
  auto joined = std::make_unique<Joined>(functions, logger);
  if (!ForkWatch::add(*joined)) return no_memory();
  return std::unique_ptr<Handler>(new Handler(std::move(joined)));
} catch (const std::bad_alloc&) {
  return no_memory();
}

}  // namespace log_aggregator
