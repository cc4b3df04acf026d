#include "collector/http/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

namespace log_aggregator::collector {

namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;

// From a health answer to a query that is about to be given up.
const prometheus::Histogram::BucketBoundaries kSeconds = {
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};

}  // namespace

struct Metrics::Families {
  prometheus::Registry registry;

  prometheus::Family<prometheus::Counter>& records =
      BuildCounter()
          .Name("log_aggregator_records_total")
          .Help("Records posted, by what became of them.")
          .Register(registry);
  prometheus::Counter& stored = records.Add({{"result", "stored"}});
  prometheus::Counter& duplicates = records.Add({{"result", "duplicate"}});
  prometheus::Counter& bad = records.Add({{"result", "bad"}});

  prometheus::Family<prometheus::Counter>& refused =
      BuildCounter()
          .Name("log_aggregator_refused_requests_total")
          .Help("Requests answered with 4xx or 5xx.")
          .Register(registry);

  prometheus::Family<prometheus::Histogram>& durations =
      BuildHistogram()
          .Name("log_aggregator_request_duration_seconds")
          .Help("Time from the whole request to its answer.")
          .Register(registry);

  prometheus::Gauge& store_bytes = BuildGauge()
                                       .Name("log_aggregator_store_bytes")
                                       .Help("Size of the store's files.")
                                       .Register(registry)
                                       .Add({});
  prometheus::Gauge& tails = BuildGauge()
                                 .Name("log_aggregator_tails")
                                 .Help("Streams of live records that are open.")
                                 .Register(registry)
                                 .Add({});
  prometheus::Counter& missed =
      BuildCounter()
          .Name("log_aggregator_tail_missed_records_total")
          .Help("Records left out of streams whose readers were too slow.")
          .Register(registry)
          .Add({});
};

Metrics::Metrics() : families_(std::make_unique<Families>()) {}

Metrics::~Metrics() = default;

void Metrics::count_records(std::size_t stored, std::size_t duplicates, std::size_t bad) {
  families_->stored.Increment(static_cast<double>(stored));
  families_->duplicates.Increment(static_cast<double>(duplicates));
  families_->bad.Increment(static_cast<double>(bad));
}

void Metrics::count_answer(int status) {
  if (status < 400) return;
  families_->refused.Add({{"status", std::to_string(status)}}).Increment();
}

void Metrics::observe_request(std::string_view route, std::chrono::duration<double> duration) {
  families_->durations.Add({{"route", std::string(route)}}, kSeconds).Observe(duration.count());
}

std::string Metrics::text(const State& state) {
  families_->store_bytes.Set(static_cast<double>(state.store_bytes));
  families_->tails.Set(static_cast<double>(state.tails));
  prometheus::Counter& missed = families_->missed;
  missed.Increment(static_cast<double>(state.missed_records) - missed.Value());
  return prometheus::TextSerializer().Serialize(families_->registry.Collect());
}

}  // namespace log_aggregator::collector
