#pragma once
// The colours of lines, shared by the HTML page and the SVG pictures.

#include <array>
#include <string_view>

namespace everlong::report {

/// One colour on a light and on a dark ground. Contrast with either ground is at least 3.2 : 1, and any two colours of a ground differ by at
/// least 0.10 in OKLab, as seen with normal, protanopic, deuteranopic and tritanopic eyes (Machado et al. 2009).
struct Ink {
  std::string_view light;
  std::string_view dark;
};

inline constexpr std::array<Ink, 5> kInks = {{
    {"#0067c0", "#5aa9ff"},
    {"#d65a00", "#f08a24"},
    {"#149b93", "#68fef5"},
    {"#88335c", "#a35778"},
    {"#2a2501", "#fbf62b"},
}};

inline constexpr Ink kGround = {"#ffffff", "#16191f"};
inline constexpr Ink kText = {"#1c2128", "#e4e7ec"};
inline constexpr Ink kMuted = {"#5b6472", "#9aa3b2"};
inline constexpr Ink kGrid = {"#e3e6eb", "#2b303a"};

}  // namespace everlong::report
