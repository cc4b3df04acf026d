// What the extension module keeps: one of each, made when it is first imported.

#pragma once

#include "python/binding/accelerate.h"
#include "python/binding/call_site.h"
#include "python/binding/fragments.h"
#include "python/binding/handler_base.h"
#include "python/binding/identity.h"
#include "python/binding/log_names.h"
#include "python/binding/log_record.h"
#include "python/binding/logger_view.h"
#include "python/binding/message.h"
#include "python/binding/record.h"
#include "python/binding/standard_logging.h"

namespace log_aggregator::python {

struct ModuleState {
  LogNames names;
  LoggerViews logger_views{names};
  AttributeTable attributes;
  StandardLogging logging;
  MessageWriter messages;
  Fragments fragments;
  CallSites call_sites;
  Identities identities;
  RecordBuilder records;

  // The types Core and HandlerBase.
  Ref core_type;
  Ref handler_type;
  // A dict of methods of LogAggregatorHandler as they came, and what classes still have of them.
  Ref handler_methods;
  TypeCache<HandlerTraits> handler_types;
  Ref handle_customised;  // a name
  Ref exc_info_function;  // sys.exc_info
  Accelerator accelerator;

  // False with a Python error set.
  bool load();
};

// The state of the module that made `type`.
ModuleState& module_state(PyTypeObject* type);
// The same without a type at hand: it exists once. Null before the first import.
ModuleState* module_state();

}  // namespace log_aggregator::python
