#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ldm/io/image.h"

namespace ldm {

/// One entry of a PNG's text: `key` 1 to 79 printable ASCII characters, `value` UTF-8 without NUL.
struct PngText {
  std::string key;
  std::string value;
};

/// Encodes RGB8 with zlib level 6 and the given text before the pixels: tEXt for ASCII values, iTXt
/// for others. The same input gives the same bytes. Error::input for text that PNG cannot hold,
/// Error::internal for an image whose buffer does not match its size.
std::vector<std::byte> encode_png(const Image& image, std::span<const PngText> text = {});

/// The text entries (tEXt, zTXt, iTXt) in file order, as UTF-8. Error::input when `png` is broken.
std::vector<PngText> read_png_text(std::span<const std::byte> png, const std::string& name);

/// Checks a whole PNG again before it is written or trusted: chunk order, CRCs, pixel data's length
/// and checksum, IEND at the very end. Error::output naming `name`.
void verify_png(std::span<const std::byte> png, const std::string& name = "PNG");

}  // namespace ldm
