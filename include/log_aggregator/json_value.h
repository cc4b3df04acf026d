// write_json: any value as JSON, which is what field() writes.
//
// Booleans, numbers, text in UTF-8 (std::filesystem::path as well), enumerations (as their
// number), pointers and optionals (null, or what they hold), maps (an object), other ranges (an
// array), and all of these within each other. An array of characters is the text up to its first
// NUL. For a type of your own, write a function beside it:
//
//   void to_log_json(log_aggregator::JsonWriter& json, const Order& order) {
//     json.begin_object();
//     json.key("id");
//     json.integer(order.id);
//     json.end_object();
//   }

#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <ranges>
#include <string>
#include <string_view>
#include <type_traits>

#include "log_aggregator/json_writer.h"

namespace log_aggregator {

// A type with a function to_log_json() beside it.
template <typename T>
concept CustomJson = requires(JsonWriter& json, const T& value) { to_log_json(json, value); };

// One of the characters of UTF-8.
template <typename T>
concept Utf8Character = std::same_as<T, char> || std::same_as<T, char8_t>;

// A character of another encoding.
template <typename T>
concept OtherCharacter =
    std::same_as<T, wchar_t> || std::same_as<T, char16_t> || std::same_as<T, char32_t>;

// A text: what may be one as a string_view, the same of char8_t, or a path.
template <typename T>
concept JsonText = std::convertible_to<const T&, std::string_view> ||
                   std::convertible_to<const T&, std::u8string_view> || requires(const T& path) {
                     { path.native() } -> std::convertible_to<std::string_view>;
                   };

// Its bytes. Of an array those before the first NUL, of a null pointer none.
template <JsonText T>
std::string_view text_of(const T& text) {
  if constexpr (std::is_array_v<T>) {
    const auto* const bytes = reinterpret_cast<const char*>(text);
    const void* const end = __builtin_memchr(bytes, '\0', sizeof text);
    return {bytes, end == nullptr
                       ? sizeof text
                       : static_cast<std::size_t>(static_cast<const char*>(end) - bytes)};
  } else if constexpr (std::convertible_to<const T&, const char*>) {
    const char* const bytes = text;
    if (bytes == nullptr) return {};
    return bytes;
  } else if constexpr (std::convertible_to<const T&, std::string_view>) {
    return text;
  } else if constexpr (std::convertible_to<const T&, const char8_t*>) {
    const char8_t* const bytes = text;
    if (bytes == nullptr) return {};
    return text_of(std::u8string_view(bytes));
  } else if constexpr (std::convertible_to<const T&, std::u8string_view>) {
    const std::u8string_view characters = text;
    return {reinterpret_cast<const char*>(characters.data()), characters.size()};
  } else {
    return text.native();
  }
}

// A map: keys that are text, and the values they stand for.
template <typename T>
concept JsonMap = std::ranges::input_range<const T> && requires(const T& map) {
  { map.begin()->first } -> std::convertible_to<std::string_view>;
  map.begin()->second;
};

// Another range, whose elements are of another type than itself.
template <typename T>
concept JsonArray = std::ranges::input_range<const T> &&
                    !std::same_as<std::remove_cvref_t<std::ranges::range_reference_t<const T>>, T>;

// A pointer, plain or smart, or an optional; not one to a function, nor to bytes that are a text or
// a number, nobody knows.
template <typename T>
concept JsonNullable = requires(const T& value) {
  static_cast<bool>(value);
  *value;
} && !std::is_function_v<std::remove_pointer_t<T>> && requires(const T& value) {
  requires !std::is_function_v<std::remove_reference_t<decltype(*value)>>;
  requires !(std::is_pointer_v<T> &&
             std::same_as<std::remove_cvref_t<decltype(*value)>, unsigned char>);
};

// Appends `value` to `json`. Does not throw but where the value's own functions do, or memory ends.
template <typename T>
void write_json(JsonWriter& json, const T& value) {
  if constexpr (CustomJson<T>) {
    to_log_json(json, value);
  } else if constexpr (std::same_as<T, bool>) {
    json.boolean(value);
  } else if constexpr (Utf8Character<T>) {
    json.string({reinterpret_cast<const char*>(&value), 1});
  } else if constexpr (OtherCharacter<std::remove_cvref_t<std::remove_pointer_t<T>>>) {
    static_assert(!OtherCharacter<std::remove_cvref_t<std::remove_pointer_t<T>>>,
                  "text has to be UTF-8");
  } else if constexpr (std::signed_integral<T>) {
    static_assert(sizeof value <= sizeof(std::int64_t), "too large a number");
    json.integer(static_cast<std::int64_t>(value));
  } else if constexpr (std::unsigned_integral<T>) {
    static_assert(sizeof value <= sizeof(std::uint64_t), "too large a number");
    json.unsigned_integer(static_cast<std::uint64_t>(value));
  } else if constexpr (std::same_as<T, float>) {
    json.real(value);
  } else if constexpr (std::floating_point<T>) {
    json.real(static_cast<double>(value));
  } else if constexpr (std::is_enum_v<T>) {
    // Promoted: of an enumeration of characters the number, too.
    write_json(json, +static_cast<std::underlying_type_t<T>>(value));
  } else if constexpr (std::same_as<T, std::nullptr_t>) {
    json.null();
  } else if constexpr (JsonText<T>) {
    if constexpr (std::is_pointer_v<T>) {
      if (value == nullptr) return json.null();
    }
    json.string(text_of(value));
  } else if constexpr (JsonMap<T>) {
    json.begin_object();
    for (const auto& [key, mapped] : value) {
      json.key(key);
      write_json(json, mapped);
    }
    json.end_object();
  } else if constexpr (JsonArray<T>) {
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
