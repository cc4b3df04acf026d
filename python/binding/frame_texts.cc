#include "python/binding/frame_texts.h"

#include <algorithm>
#include <utility>

namespace log_aggregator::python {

FrameTexts::Set& FrameTexts::set_of(const FramePlace& place) {
  constexpr std::uint64_t kMultiplier = 0x9E37'79B9'7F4A'7C15;  // 2^64 / golden ratio
  constexpr int kSetBits = 8;
  static_assert(kSets == 1 << kSetBits);
  std::uint64_t hash = reinterpret_cast<std::uintptr_t>(place.code) >> 4U;
  hash = hash * kMultiplier + static_cast<std::uint32_t>(place.instruction);
  hash = hash * kMultiplier + static_cast<std::uint32_t>(place.line);
  return sets_[hash * kMultiplier >> (64U - kSetBits)];
}

const FrameText* FrameTexts::find(const FramePlace& place) {
  if (sets_.empty()) return nullptr;
  for (Slot& slot : set_of(place)) {
    if (!slot.text.is_at(place)) continue;
    slot.asked = ++asked_;
    return &slot.text;
  }
  return nullptr;
}

void FrameTexts::keep(FrameText text) {
  if (text.text.size() > kMaxTextBytes) return;
  if (sets_.empty()) sets_.resize(kSets);
  const FramePlace place = {text.code.get(), text.instruction, text.line};
  Set& set = set_of(place);
  auto slot = std::find_if(set.begin(), set.end(),
                           [&place](const Slot& other) { return other.text.is_at(place); });
  if (slot == set.end()) {
    slot = std::min_element(set.begin(), set.end(), [](const Slot& left, const Slot& right) {
      return left.asked < right.asked;
    });
  }
  // The slot is whole before what it held dies, as that may run code that comes here again.
  std::swap(slot->text, text);
  slot->asked = ++asked_;
}

std::size_t FrameTexts::count() const {
  std::size_t kept = 0;
  for (const Set& set : sets_) {
    kept += static_cast<std::size_t>(
        std::count_if(set.begin(), set.end(), [](const Slot& slot) { return slot.asked != 0; }));
  }
  return kept;
}

}  // namespace log_aggregator::python
