#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "ldm/io/image.h"

namespace ldm::app {

/// From one sign to the next, and from one line to the next, in dots.
inline constexpr int kSignDots = 6;
inline constexpr int kLineDots = 10;

/// UTF-8 text as signs of the 5x7 font, one byte each: printable ASCII as it is, control characters
/// as blanks, every other code point as a box (0x7f).
std::string font_signs(std::string_view text);

/// Signs in lines of at most `columns`, broken at blanks where there are any; of a text that needs
/// more than `most` lines the last ends in "..".
std::vector<std::string> wrap_signs(std::string_view signs, std::size_t columns, std::size_t most);

/// Draws one line in black, its upper left corner at (x, y), each dot `scale` pixels wide; what
/// lies outside the picture is left out.
void draw_signs(Image& image, int x, int y, std::string_view signs, int scale);

}  // namespace ldm::app
