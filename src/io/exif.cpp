#include "ldm/io/exif.h"

#include <cstdint>
#include <utility>

namespace ldm {
namespace {

// Bounds-checked numbers of either byte order; out of range reads as 0.
class Tiff {
 public:
  explicit Tiff(std::span<const std::byte> bytes) : bytes_(bytes) {
    big_endian_ = byte(0) == 'M' && byte(1) == 'M';
    valid_ = big_endian_ || (byte(0) == 'I' && byte(1) == 'I');
    valid_ = valid_ && u16(2) == 42;
  }
  bool valid() const { return valid_; }
  std::uint32_t u16(std::uint64_t at) const {
    return big_endian_ ? (byte(at) << 8U) | byte(at + 1) : (byte(at + 1) << 8U) | byte(at);
  }
  std::uint32_t u32(std::uint64_t at) const {
    return big_endian_ ? (u16(at) << 16U) | u16(at + 2) : (u16(at + 2) << 16U) | u16(at);
  }

 private:
  std::uint32_t byte(std::uint64_t at) const {
    return at < bytes_.size() ? std::to_integer<std::uint32_t>(bytes_[at]) : 0U;
  }
  std::span<const std::byte> bytes_;
  bool big_endian_ = false;
  bool valid_ = false;
};

}  // namespace

int exif_orientation(std::span<const std::byte> tiff) {
  constexpr std::uint32_t kTag = 0x0112;
  constexpr std::uint32_t kShort = 3;
  constexpr std::uint32_t kLong = 4;
  constexpr std::uint64_t kEntryBytes = 12;
  const Tiff file(tiff);
  if (!file.valid()) return 1;
  const std::uint64_t directory = file.u32(4);
  const std::uint32_t entries = file.u16(directory);
  for (std::uint32_t i = 0; i < entries; ++i) {
    const std::uint64_t entry = directory + 2 + kEntryBytes * i;
    if (entry + kEntryBytes > tiff.size()) break;
    if (file.u16(entry) != kTag) continue;
    const std::uint32_t type = file.u16(entry + 2);
    const std::uint32_t value = type == kShort  ? file.u16(entry + 8)
                                : type == kLong ? file.u32(entry + 8)
                                                : 1U;
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

Image apply_orientation(Image image, int orientation) {
  if (orientation <= 1 || orientation > 8) return image;
  const bool transposed = orientation >= 5;
  const bool flip_x = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool flip_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  Image out;
  out.width = transposed ? image.height : image.width;
  out.height = transposed ? image.width : image.height;
  out.rgb.resize(image.rgb.size());
  const auto width = static_cast<std::size_t>(image.width);
  const auto height = static_cast<std::size_t>(image.height);
  std::size_t target = 0;
  for (std::size_t y = 0; y < static_cast<std::size_t>(out.height); ++y) {
    for (std::size_t x = 0; x < static_cast<std::size_t>(out.width); ++x) {
      const std::size_t column = transposed ? y : x;
      const std::size_t line = transposed ? x : y;
      const std::size_t source_x = flip_x ? width - 1 - column : column;
      const std::size_t source_y = flip_y ? height - 1 - line : line;
      const std::size_t source = 3 * (source_y * width + source_x);
      for (std::size_t c = 0; c < 3; ++c) out.rgb[target++] = image.rgb[source + c];
    }
  }
  return out;
}

}  // namespace ldm
