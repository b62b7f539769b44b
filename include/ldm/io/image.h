#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace ldm {

/// An 8-bit RGB picture.
struct Image {
  int width = 0;
  int height = 0;
  std::vector<std::uint8_t> rgb;  ///< row-major, 3 bytes a pixel, width * height * 3 in all
};

inline constexpr std::uint64_t kMaxImageBytes = std::uint64_t{64} << 20U;
inline constexpr std::uint64_t kMaxImagePixels = std::uint64_t{64} << 20U;

/// Decodes a PNG or JPEG as Pillow's `exif_transpose` and `convert("RGB")` would: EXIF orientation
/// applied, alpha dropped, palettes and grey expanded. 16-bit samples give their high byte.
/// Structure, checksums and size are checked before anything is allocated for pixels; everything
/// wrong is Error::input naming `name`: other formats, > 64 MiB, > 64 MPix, a bad CRC, a truncated
/// file, a 4-channel JPEG without an Adobe marker.
Image decode_image(std::span<const std::byte> bytes, const std::string& name);

/// Reads and decodes a file; Error::input also for a file that cannot be read.
Image load_image(const std::filesystem::path& path);

}  // namespace ldm
