#pragma once

#include <string_view>

namespace ldm::app {

/// The fixed parts of the gallery page: style sheet, body without data, and the script that fills
/// it from the page's JSON, in two halves: cards and filters, then the large view and the start.
/// None holds anything from a picture.
std::string_view gallery_style();
std::string_view gallery_body();
std::string_view gallery_script();
std::string_view gallery_view_script();

}  // namespace ldm::app
