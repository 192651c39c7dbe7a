#pragma once
// Two state files held against each other, without the model they belong to.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace everlong::models {

/// A slot of two states. What only one has, or has in another shape or dtype, differs by infinity.
struct SlotDifference {
  std::string name;
  std::string left;  ///< "F32 [1, 8, 4]", or "none"
  std::string right;
  double max_abs = 0;  ///< largest absolute difference; equal infinities and NaN in the same place count as equal
};

/// A line of the metadata that is not the same: "config hidden_size", "tokenizer_fingerprint".
struct MetadataDifference {
  std::string key;
  std::string left;
  std::string right;
};

struct StateDifference {
  std::vector<SlotDifference> slots;  ///< all of both files, by name
  std::vector<int64_t> left_positions;
  std::vector<int64_t> right_positions;
  std::vector<MetadataDifference> metadata;

  [[nodiscard]] double max_abs() const;

  /// True if positions and metadata agree and no slot differs by more than `tolerance`.
  [[nodiscard]] bool same(double tolerance) const;
};

/// Compares two state files.
/// Cost     both files in memory, and one slot in fp64
/// Errors   IoError; FormatError if one is damaged; StateError if one is not a state file
[[nodiscard]] StateDifference compare_states(const std::filesystem::path& left, const std::filesystem::path& right);

}  // namespace everlong::models
