#pragma once
// A reader of HTML and SVG that is stricter than browsers: what it accepts needs no repair.

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace everlong::testing {

/// One start tag, in the order of the document.
struct Element {
  std::string name;
  std::map<std::string, std::string> attributes;
  std::string text;  ///< content up to the first tag inside, entities as written
};

/// The elements of a document.
/// Errors   std::runtime_error naming the place if a tag does not close in order, an attribute has no quotes or comes twice, a `<` or `&` in text
///          begins neither tag nor entity, or an id comes twice
[[nodiscard]] std::vector<Element> read_markup(std::string_view text);

}  // namespace everlong::testing
