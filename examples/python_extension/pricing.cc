// The module `pricing`: prices orders without the interpreter lock, and logs through the handler
// that Python's loggers have. What both log arrives in the order in which it was logged.

#include <log_aggregator/python.h>

namespace {

using log_aggregator::field;
using log_aggregator::Level;

// Null until use_handler() was called, constant afterwards, as any thread may log. Never destroyed:
// daemon threads of Python run on in here while the process ends.
log_aggregator::Handler* handler = nullptr;

PyObject* use_handler(PyObject*, PyObject* python_handler) {
  if (handler) {
    PyErr_SetString(PyExc_RuntimeError, "use_handler() was called twice");
    return nullptr;
  }
  auto joined = log_aggregator::handler_of(python_handler, "shop.pricing");
  if (!joined.ok()) {
    PyErr_SetString(PyExc_TypeError, joined.status().message().c_str());
    return nullptr;
  }
  handler = joined.value().release();
  Py_RETURN_NONE;
}

double price_of(long order, long items) {
  constexpr long kMany = 10;
  const bool reduced = items >= kMany;
  if (handler && reduced) {
    handler->log(Level::warning, "many items, price reduced", field("order", order),
                 field("items", items));
  }
  const double total = static_cast<double>(items) * (reduced ? 4.5 : 5.0);
  if (handler) {
    handler->log(Level::info, "order priced", field("order", order), field("total", total));
  }
  return total;
}

PyObject* price(PyObject*, PyObject* args) {
  long order = 0;
  long items = 0;
  if (!PyArg_ParseTuple(args, "ll", &order, &items)) return nullptr;
  double total = 0;
  Py_BEGIN_ALLOW_THREADS;
  total = price_of(order, items);
  Py_END_ALLOW_THREADS;
  return PyFloat_FromDouble(total);
}

PyMethodDef methods[] = {
    {"use_handler", use_handler, METH_O, "Logs through that LogAggregatorHandler from now on."},
    {"price", price, METH_VARARGS, "price(order, items): what they cost."},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef module = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "pricing",
    .m_doc = nullptr,
    .m_size = -1,
    .m_methods = methods,
    .m_slots = nullptr,
    .m_traverse = nullptr,
    .m_clear = nullptr,
    .m_free = nullptr,
};

}  // namespace

PyMODINIT_FUNC PyInit_pricing() { return PyModule_Create(&module); }
