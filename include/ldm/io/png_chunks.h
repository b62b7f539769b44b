#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ldm {

inline constexpr std::string_view kPngSignature("\x89PNG\r\n\x1a\n", 8);

struct PngChunk {
  std::string_view type;  ///< four letters, in the scanned bytes
  std::span<const std::byte> data;
};

/// A PNG file's structure; spans point into the scanned bytes.
struct PngLayout {
  std::uint32_t width = 0;
  std::uint32_t height = 0;
  int bit_depth = 0;
  int color_type = 0;
  bool interlaced = false;
  std::vector<PngChunk> chunks;  ///< from IHDR to IEND
  std::size_t file_end = 0;      ///< bytes up to and with IEND
};

/// Walks the chunks: signature, lengths, every CRC, IHDR first and legal, at most 64 MPix, PLTE
/// where it must be, IDAT present and in one piece, no unknown critical chunk, IEND. Error::input
/// naming `name`. Allocates only the chunk list (at most 100,000 entries).
PngLayout scan_png(std::span<const std::byte> bytes, const std::string& name);

/// Bytes of the filtered pixel data that the header promises (all passes when interlaced).
std::uint64_t filtered_size(const PngLayout& layout);

/// Inflates the IDAT chunks without keeping the result; Error::input unless they are one good zlib
/// stream of exactly `filtered_size` bytes. This bounds what a decoder can be made to allocate.
void check_pixel_data(const PngLayout& layout, const std::string& name);

/// Inflates a zlib stream of a text chunk; Error::input when broken or larger than 16 MiB.
std::string inflate_text(std::span<const std::byte> data, const std::string& name);

}  // namespace ldm
