// LOG_AGGREGATOR_API marks what the shared library exports. Everything else is hidden in it, but
// for classes within an exported one: LOG_AGGREGATOR_HIDDEN hides those, where they are defined.

#pragma once

#define LOG_AGGREGATOR_API __attribute__((visibility("default")))
#define LOG_AGGREGATOR_HIDDEN __attribute__((visibility("hidden")))
