#pragma once
// How tokenizer.json names its choices, for reading and for writing.

#include <array>
#include <optional>
#include <string_view>
#include <utility>

#include "everlong/text/bpe_definition.h"

namespace everlong::text {

template <class E, size_t n>
using ChoiceNames = std::array<std::pair<std::string_view, E>, n>;

inline constexpr ChoiceNames<NormalForm, 4> kNormalForms{
    {{"NFC", NormalForm::nfc}, {"NFD", NormalForm::nfd}, {"NFKC", NormalForm::nfkc}, {"NFKD", NormalForm::nfkd}}};

inline constexpr ChoiceNames<PrependScheme, 3> kPrependSchemes{
    {{"always", PrependScheme::always}, {"first", PrependScheme::first}, {"never", PrependScheme::never}}};

inline constexpr ChoiceNames<SplitBehavior, 5> kSplitBehaviors{{{"Removed", SplitBehavior::removed},
                                                                {"Isolated", SplitBehavior::isolated},
                                                                {"MergedWithPrevious", SplitBehavior::merged_with_previous},
                                                                {"MergedWithNext", SplitBehavior::merged_with_next},
                                                                {"Contiguous", SplitBehavior::contiguous}}};

template <class E, size_t n>
[[nodiscard]] std::string_view name_of(const ChoiceNames<E, n>& names, E value) {
  for (const auto& name : names) {
    if (name.second == value) return name.first;
  }
  return {};
}

template <class E, size_t n>
[[nodiscard]] std::optional<E> value_of(const ChoiceNames<E, n>& names, std::string_view text) {
  for (const auto& name : names) {
    if (name.first == text) return name.second;
  }
  return std::nullopt;
}

}  // namespace everlong::text
