// LOG_AGGREGATOR_API marks what a shared library of ours exports. Everything else is hidden in it.

#pragma once

#define LOG_AGGREGATOR_API __attribute__((visibility("default")))
