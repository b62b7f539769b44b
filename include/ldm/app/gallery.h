#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ldm/app/recorded_settings.h"
#include "ldm/io/image.h"

namespace ldm::app {

/// One picture of a gallery.
struct GalleryPicture {
  std::string file;  ///< relative to the folder, as its bytes are on disk
  std::uint32_t width = 0;
  std::uint32_t height = 0;
  std::uint64_t bytes = 0;
  std::vector<Setting> settings;
};

/// A file that could not be read, and why.
struct BrokenPicture {
  std::string file;
  std::string why;
};

/// The picture in a PNG's bytes: size and recorded settings. Error::input when the file is broken.
GalleryPicture read_gallery_picture(std::span<const std::byte> png, const std::string& file);

/// A path as a relative URL: every byte but letters, digits and -._~/ as %NN, so that it can be
/// neither a scheme nor a query.
std::string relative_url(std::string_view path);

/// The page's data. Settings are numbers into the lists `keys` and `values`, because most values
/// occur in many pictures. `prefix` is the relative URL from the page to the folder.
nlohmann::ordered_json gallery_data(std::string_view folder, std::string_view prefix,
                                    std::span<const GalleryPicture> pictures,
                                    std::span<const BrokenPicture> broken, std::size_t links);

/// JSON that may stand inside a <script> element: `<` only as an escape, invalid UTF-8 replaced.
std::string script_json(const nlohmann::ordered_json& json);

/// What stands before and behind the data in the page. The policy in the head lets nothing run but
/// the page's own script, and nothing load but pictures.
std::string gallery_head();
std::string gallery_tail();

/// Whether a file's beginning is that of a page made here.
bool is_gallery(std::string_view beginning);

/// A picture as a data URI, at most 160 pixels wide and high.
std::string thumbnail_uri(const Image& image);

}  // namespace ldm::app
