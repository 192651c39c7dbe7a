#pragma once

namespace everlong {

inline constexpr const char* kVersion = "0.1.0";

}  // namespace everlong
