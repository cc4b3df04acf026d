// LOG_AGGREGATOR_API marks what the shared library exports. Everything else is hidden in it, but
// for classes within an exported one: LOG_AGGREGATOR_HIDDEN hides those, where they are defined.

#pragma once

// Before a class or a function: it is part of the library's interface.
#define LOG_AGGREGATOR_API __attribute__((visibility("default")))
// Before a class that is defined within such a class: it is not.
#define LOG_AGGREGATOR_HIDDEN __attribute__((visibility("hidden")))
