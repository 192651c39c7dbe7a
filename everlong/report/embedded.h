#pragma once
// Files that the build puts into the library (cmake/EmbedFiles.cmake): a report needs nothing beside the program.

#include <string_view>

namespace everlong::report::embedded {

extern const std::string_view kUplotScript;
extern const std::string_view kUplotStyle;
extern const std::string_view kUplotLicense;
extern const std::string_view kPageScript;
extern const std::string_view kPageStyle;

}  // namespace everlong::report::embedded
