#include "ldm/io/image.h"

#include <array>
#include <cstring>
#include <string_view>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/exif.h"
#include "ldm/io/file.h"
#include "ldm/io/jpeg_scan.h"
#include "ldm/io/png_chunks.h"
#include "ldm/io/stb_decode.h"

namespace ldm {
namespace {

using Bytes = std::span<const std::byte>;

bool starts_with(Bytes bytes, std::string_view start, std::size_t at = 0) {
  return bytes.size() >= at + start.size() &&
         std::memcmp(bytes.data() + at, start.data(), start.size()) == 0;
}

std::string format_in_words(Bytes bytes) {
  using namespace std::string_view_literals;
  if (bytes.empty()) return "an empty file";
  if (starts_with(bytes, "GIF8")) return "a GIF";
  if (starts_with(bytes, "RIFF") && starts_with(bytes, "WEBP", 8)) return "a WebP";
  if (starts_with(bytes, "BM")) return "a BMP";
  if (starts_with(bytes, "II*\0"sv) || starts_with(bytes, "MM\0*"sv)) return "a TIFF";
  if (starts_with(bytes, "ftypavif", 4)) return "an AVIF";
  if (starts_with(bytes, "ftyphei", 4) || starts_with(bytes, "ftypmif", 4)) return "a HEIC";
  if (starts_with(bytes, "8BPS")) return "a Photoshop file";
  if (starts_with(bytes, "version https://git-lfs")) return "a git-lfs pointer";
  if (starts_with(bytes, "<")) return "a web page or SVG";
  return "neither";
}

void append_chunk(std::vector<std::byte>& out, std::string_view type, Bytes data,
                  std::size_t padded_size = 0) {
  const std::size_t size = data.size() > padded_size ? data.size() : padded_size;
  for (unsigned shift = 32; shift > 0; shift -= 8) {
    out.push_back(static_cast<std::byte>((size >> (shift - 8)) & 0xFFU));
  }
  for (const char c : type) out.push_back(static_cast<std::byte>(c));
  out.insert(out.end(), data.begin(), data.end());
  // The rest of a padded chunk, and a CRC that the decoder does not look at.
  out.resize(out.size() + size - data.size() + 4);
}

// Only what the pixels need: no tRNS (transparency is dropped anyway), and all 256 palette entries,
// because an index beyond the palette would read what the decoder never set.
std::vector<std::byte> plain_png(const PngLayout& layout, std::size_t size_hint) {
  constexpr std::size_t kFullPalette = 768;
  std::vector<std::byte> out;
  out.reserve(size_hint + kFullPalette);
  for (const char c : kPngSignature) out.push_back(static_cast<std::byte>(c));
  for (const PngChunk& chunk : layout.chunks) {
    const bool palette = chunk.type == "PLTE";
    // In a true-colour picture a palette is a mere suggestion.
    if (palette && layout.color_type != 3) continue;
    if (chunk.type == "IHDR" || chunk.type == "IDAT" || chunk.type == "IEND" || palette) {
      append_chunk(out, chunk.type, chunk.data, palette ? kFullPalette : 0);
    }
  }
  return out;
}

Image decode_png(Bytes bytes, const std::string& name) {
  const PngLayout layout = scan_png(bytes, name);
  check_pixel_data(layout, name);
  Image image = stb_decode_rgb(plain_png(layout, layout.file_end), name);
  int orientation = 1;
  for (const PngChunk& chunk : layout.chunks) {
    if (chunk.type == "eXIf") orientation = exif_orientation(chunk.data);
  }
  return apply_orientation(std::move(image), orientation);
}

Image decode_jpeg(Bytes bytes, const std::string& name) {
  const JpegLayout layout = scan_jpeg(bytes, name);
  return apply_orientation(stb_decode_rgb(bytes, name), exif_orientation(layout.exif));
}

}  // namespace

Image decode_image(Bytes bytes, const std::string& name) {
  if (bytes.size() > kMaxImageBytes) {
    throw Error::input(cat(name, ": ", human_bytes(static_cast<double>(bytes.size())),
                           ", at most 64 MiB can be read"),
                       "scale the picture down");
  }
  if (starts_with(bytes, kPngSignature)) return decode_png(bytes, name);
  if (starts_with(bytes, "\xFF\xD8\xFF")) return decode_jpeg(bytes, name);
  throw Error::input(name + ": only PNG and JPEG can be read, this is " + format_in_words(bytes),
                     "convert the picture to PNG");
}

Image load_image(const std::filesystem::path& path) {
  std::string bytes;
  try {
    bytes = read_small_file(path, kMaxImageBytes);
  } catch (Error& error) {
    error.with_code(ErrorCode::kInput);
    throw;
  }
  return decode_image(std::as_bytes(std::span(bytes.data(), bytes.size())), path.string());
}

}  // namespace ldm
