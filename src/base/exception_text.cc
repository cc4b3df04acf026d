#include "src/base/exception_text.h"

#include <cxxabi.h>

#include <cstdlib>
#include <memory>
#include <new>
#include <typeinfo>

namespace log_aggregator {
namespace {

// Deeper nests are cut: each level is thrown once more to be looked at.
constexpr int kMostNested = 32;

// Only while one is being handled.
std::string type_in_flight() {
  const std::type_info* const type = abi::__cxa_current_exception_type();
  return type == nullptr ? "an unknown type" : demangle(type->name());
}

// What `exception` is nested around; null: nothing. Only while it is being handled.
std::exception_ptr cause_of(const std::exception& exception) {
  const auto* const nested = dynamic_cast<const std::nested_exception*>(&exception);
  return nested == nullptr ? nullptr : nested->nested_ptr();
}

// Appends the text of one exception, and returns what it is nested around.
std::exception_ptr describe(const std::exception_ptr& exception, std::string& text) {
  try {
    std::rethrow_exception(exception);
  } catch (const std::exception& caught) {
    text += type_in_flight();
    text += ": ";
    if (const char* const what = caught.what(); what != nullptr) text += what;
    return cause_of(caught);
  } catch (const std::nested_exception& caught) {
    text += type_in_flight();
    return caught.nested_ptr();
  } catch (const std::string& caught) {
    text += type_in_flight();
    text += ": ";
    text += caught;
  } catch (const char* caught) {
    text += type_in_flight();
    text += ": ";
    text += caught == nullptr ? "null" : caught;
  } catch (...) {
    text += type_in_flight();
  }
  return nullptr;
}

}  // namespace

std::string exception_text(const std::exception_ptr& exception) {
  std::string text;
  std::exception_ptr next = exception;
  for (int depth = 0; next != nullptr && depth < kMostNested; ++depth) {
    if (depth > 0) text += "\ncaused by ";
    next = describe(next, text);
  }
  if (next != nullptr) text += "\ncaused by more";
  return text;
}

std::string demangle(const char* name) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> found(
      abi::__cxa_demangle(name, nullptr, nullptr, &status), &std::free);
  return found ? found.get() : name;
}

}  // namespace log_aggregator
