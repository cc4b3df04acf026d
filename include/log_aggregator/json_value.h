// write_json: any value as JSON, which is what field() writes.
//
// Booleans, numbers, text, enumerations (as their number), pointers and optionals (null, or what
// they hold), maps (an object), other ranges (an array), and all of these within each other. For a
// type of your own, write a function beside it:
//
//   void to_log_json(log_aggregator::JsonWriter& json, const Order& order) {
//     json.begin_object();
//     json.key("id");
//     json.integer(order.id);
//     json.end_object();
//   }

#pragma once

#include <concepts>
#include <cstdint>
#include <ranges>
#include <string_view>
#include <type_traits>

#include "log_aggregator/json_writer.h"

namespace log_aggregator {

// A type with a function to_log_json() beside it.
template <typename T>
concept CustomJson = requires(JsonWriter& json, const T& value) { to_log_json(json, value); };

// A map: keys that are text, and the values they stand for.
template <typename T>
concept JsonMap = std::ranges::input_range<const T> && requires(const T& map) {
  { map.begin()->first } -> std::convertible_to<std::string_view>;
  map.begin()->second;
};

// A pointer, plain or smart, or an optional.
template <typename T>
concept JsonNullable = requires(const T& value) {
  static_cast<bool>(value);
  *value;
};

// Appends `value` to `json`. Does not throw but where the value's own functions do, or memory ends.
template <typename T>
void write_json(JsonWriter& json, const T& value) {
  if constexpr (CustomJson<T>) {
    to_log_json(json, value);
  } else if constexpr (std::same_as<T, bool>) {
    json.boolean(value);
  } else if constexpr (std::same_as<T, char>) {
    json.string({&value, 1});
  } else if constexpr (std::signed_integral<T>) {
    json.integer(static_cast<std::int64_t>(value));
  } else if constexpr (std::unsigned_integral<T>) {
    json.unsigned_integer(static_cast<std::uint64_t>(value));
  } else if constexpr (std::floating_point<T>) {
    json.real(static_cast<double>(value));
  } else if constexpr (std::is_enum_v<T>) {
    write_json(json, static_cast<std::underlying_type_t<T>>(value));
  } else if constexpr (std::same_as<T, std::nullptr_t>) {
    json.null();
  } else if constexpr (std::convertible_to<const T&, const char*>) {
    const char* const text = value;
    text == nullptr ? json.null() : json.string(text);
  } else if constexpr (std::convertible_to<const T&, std::string_view>) {
    json.string(value);
  } else if constexpr (JsonMap<T>) {
    json.begin_object();
    for (const auto& [key, mapped] : value) {
      json.key(key);
      write_json(json, mapped);
    }
    json.end_object();
  } else if constexpr (std::ranges::input_range<const T>) {
    json.begin_array();
    for (const auto& element : value) write_json(json, element);
    json.end_array();
  } else {
    static_assert(JsonNullable<T>,
                  "no JSON is known for this type: write to_log_json(JsonWriter&, const T&) beside "
                  "it, see log_aggregator/json_value.h");
    value ? write_json(json, *value) : json.null();
  }
}

}  // namespace log_aggregator
