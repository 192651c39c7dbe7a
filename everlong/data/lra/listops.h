#pragma once
// ListOps: nested lists of digits under MIN, MAX, MED and SUM_MOD, whose value is the class. No torch.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "everlong/base/error.h"

namespace everlong::data {

struct ListOpsOptions {
  int64_t max_depth = 10;  ///< of nested operators, in [2, 64]; digits stand at this depth only
  int64_t max_args = 10;   ///< of an operator, in [2, 1000]; at least two
  int64_t min_len = 500;   ///< tokens of an example, both ends included
  int64_t max_len = 2000;
  double value_share = 0.25;  ///< of the places above the last depth that hold an operator, in (0, 1]; the rest are digits
  uint64_t seed = 0;
};

struct ListOpsExample {
  std::string text;   ///< "[MAX 2 9 [MIN 4 7 ] 0 ]": tokens between spaces
  int64_t value = 0;  ///< 0 to 9
  int64_t len = 0;    ///< tokens
};

/// Draws the example of that number, anew until its length is within the bounds.
/// Math     an expression at depth d < max_depth is, with probability value_share, an operator over 2 ... max_args (uniform) expressions at d + 1,
/// else
///          a digit; operators and digits are uniform. MED is the mean of the middle two, rounded down, for an even count; SUM_MOD the sum modulo 10
/// State    a function of (options, number) alone
/// Cost     O(max_len) a draw; several draws an example with the default bounds
/// Errors   InvalidArgument if an option is outside its range, or a million draws give no length within the bounds
/// Source   Nangia and Bowman, "ListOps", 2018, in the setting of Tay et al., "Long Range Arena", 2021. Differs: own random numbers, the bounds are
///          included, examples may repeat, and the brackets around partial applications, which that task leaves out, are not written.
[[nodiscard]] ListOpsExample make_listops(const ListOpsOptions& options, int64_t number);

/// Tokens 0 ... 15: padding, the four operators, the closing bracket, ten digits.
inline constexpr int64_t kListOpsVocabSize = 16;

/// The tokens of an example as ids.
/// Errors   FormatError at `location` if a word is no token of the language
[[nodiscard]] std::vector<int32_t> listops_ids(std::string_view text, const FileLocation& location);

/// The value of an expression.
/// Errors   FormatError at `location` if the text is not one whole expression
[[nodiscard]] int64_t listops_value(std::string_view text, const FileLocation& location);

}  // namespace everlong::data
