#include "everlong/io/json_number.h"

#include <string>

#include <nlohmann/json.hpp>

#include "everlong/base/error.h"
#include "everlong/io/excerpt.h"

namespace everlong::io {

uint64_t whole_number(const Json& object, std::string_view key, std::string_view file_name, uint64_t most) {
  const auto found = object.find(key);
  const auto refuse = [&](const std::string& got) {
    throw FormatError({.file = std::string(file_name), .field = std::string(key)}, "an integer >= 0", got);
  };
  if (found == object.end()) refuse("nothing");
  // Numbers that a program put there may be signed ones that are not negative.
  const bool whole = found->is_number_integer() && (found->is_number_unsigned() || found->get<int64_t>() >= 0);
  if (!whole || found->get<uint64_t>() > most) refuse(excerpt(found->dump(-1, ' ', false, Json::error_handler_t::replace)));
  return found->get<uint64_t>();
}

}  // namespace everlong::io
