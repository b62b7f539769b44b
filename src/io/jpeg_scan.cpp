#include "ldm/io/jpeg_scan.h"

#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/image.h"

namespace ldm {
namespace {

constexpr int kMostScans = 256;

class JpegWalk {
 public:
  JpegWalk(std::span<const std::byte> bytes, const std::string& name)
      : bytes_(bytes), name_(name) {}

  JpegLayout run() {
    if (bytes_.size() < 2 || byte(0) != 0xFF || byte(1) != 0xD8) broken("no start marker");
    at_ = 2;
    while (true) {
      const unsigned marker = next_marker();
      if (marker == 0xD9) break;
      if (marker == 0x01 || (marker >= 0xD0 && marker <= 0xD7)) continue;
      if (marker == 0xD8 || marker == 0x00) broken("start marker inside the file");
      segment(marker);
    }
    if (scans_ == 0) broken("no picture data");
    if (layout_.components == 4 && !layout_.has_adobe) {
      throw Error::input(name_ +
                             ": a 4-channel JPEG without an Adobe marker (its colours are "
                             "ambiguous)",
                         "save it as an RGB JPEG or a PNG");
    }
    // Every block takes a bit at least, so a large size over few bytes is a bomb or a broken file.
    const std::uint64_t blocks = (static_cast<std::uint64_t>(layout_.width + 7) / 8) *
                                 (static_cast<std::uint64_t>(layout_.height + 7) / 8);
    if (blocks / 8 > bytes_.size()) broken("too few bytes for its size");
    return layout_;
  }

 private:
  struct Component {
    unsigned id = 0;
    unsigned quantisation = 0;
  };

  [[noreturn]] void broken(const std::string& what) const {
    throw Error::input(cat(name_, ": broken JPEG: ", what), "save or download the picture again");
  }
  [[noreturn]] void truncated() const {
    broken(cat("truncated: no end marker in ", bytes_.size(), " bytes"));
  }
  unsigned byte(std::size_t i) const { return std::to_integer<unsigned>(bytes_[i]); }
  std::size_t u16(std::size_t i) const { return (byte(i) << 8U) | byte(i + 1); }

  unsigned next_marker() {
    if (at_ >= bytes_.size()) truncated();
    if (byte(at_) != 0xFF) broken(cat("no marker at byte ", at_));
    while (at_ < bytes_.size() && byte(at_) == 0xFF) ++at_;
    if (at_ >= bytes_.size()) truncated();
    return byte(at_++);
  }

  void segment(unsigned marker) {
    if (bytes_.size() - at_ < 2) truncated();
    const std::size_t length = u16(at_);
    if (length < 2) broken(cat("bad segment length at byte ", at_));
    if (length > bytes_.size() - at_) truncated();
    body_ = at_ + 2;
    end_ = at_ + length;
    at_ = end_;
    const bool frame = marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8;
    if (frame) return read_frame(marker);
    switch (marker) {
      case 0xC4:
        return read_huffman_tables();
      case 0xDB:
        return read_quantisation_tables();
      case 0xDA:
        return read_scan();
      case 0xE1:
        return read_exif();
      case 0xEE:
        layout_.has_adobe = layout_.has_adobe || (end_ - body_ >= 12 && starts_with("Adobe"));
        return;
      default:
        return;
    }
  }

  bool starts_with(std::string_view text) const {
    return end_ - body_ >= text.size() &&
           std::memcmp(bytes_.data() + body_, text.data(), text.size()) == 0;
  }

  void read_exif() {
    constexpr std::string_view kExif("Exif\0\0", 6);
    if (!layout_.exif.empty() || !starts_with(kExif)) return;
    layout_.exif = bytes_.subspan(body_ + kExif.size(), end_ - body_ - kExif.size());
  }

  void read_frame(unsigned marker) {
    if (marker > 0xC2) {
      throw Error::input(name_ + ": a lossless, hierarchical or arithmetic-coded JPEG",
                         "save it as an ordinary JPEG or a PNG");
    }
    if (layout_.components != 0) broken("two frame headers");
    if (end_ - body_ < 6) broken("short frame header");
    layout_.height = static_cast<int>(u16(body_ + 1));
    layout_.width = static_cast<int>(u16(body_ + 3));
    const unsigned count = byte(body_ + 5);
    if (byte(body_) != 8) {
      throw Error::input(cat(name_, ": a JPEG of ", byte(body_), " bits a sample, only 8 are read"),
                         "save it as an 8-bit JPEG or a PNG");
    }
    if ((count != 1 && count != 3 && count != 4) || end_ - body_ != 6 + 3 * std::size_t{count} ||
        layout_.width == 0 || layout_.height == 0) {
      broken(cat("impossible frame (", layout_.width, "x", layout_.height, ", ", count,
                 " components)"));
    }
    if (static_cast<std::uint64_t>(layout_.width) * static_cast<std::uint64_t>(layout_.height) >
        kMaxImagePixels) {
      throw Error::input(cat(name_, ": ", layout_.width, "x", layout_.height,
                             " pixels, at most 64 megapixels can be read"),
                         "scale the picture down");
    }
    layout_.components = static_cast<int>(count);
    layout_.progressive = marker == 0xC2;
    for (unsigned i = 0; i < count; ++i) {
      const std::size_t at = body_ + 6 + 3 * std::size_t{i};
      components_.at(i) = {byte(at), byte(at + 2)};
      if (byte(at + 2) > 3) broken("bad quantisation table number");
    }
  }

  void read_quantisation_tables() {
    for (std::size_t at = body_; at < end_;) {
      const unsigned id = byte(at) & 0xFU;
      const unsigned wide = byte(at) >> 4U;
      if (id > 3 || wide > 1) broken("bad quantisation table");
      quantisation_.at(id) = true;
      at += 1 + std::size_t{64} * (1 + wide);
      if (at > end_) broken("short quantisation table");
    }
  }

  void read_huffman_tables() {
    for (std::size_t at = body_; at < end_;) {
      const unsigned kind = byte(at) >> 4U;
      const unsigned id = byte(at) & 0xFU;
      if (kind > 1 || id > 3 || end_ - at < 17) broken("bad Huffman table");
      std::size_t symbols = 0;
      for (std::size_t i = 1; i <= 16; ++i) symbols += byte(at + i);
      if (symbols > 256 || end_ - at - 17 < symbols) broken("bad Huffman table");
      (kind == 0 ? dc_ : ac_).at(id) = true;
      at += 17 + symbols;
    }
  }

  // A decoder that trusts a scan to use only tables that were sent would read what was never set.
  void read_scan() {
    if (layout_.components == 0) broken("a scan before the frame header");
    const std::size_t count = end_ > body_ ? byte(body_) : 0;
    if (count < 1 || count > static_cast<std::size_t>(layout_.components) ||
        end_ - body_ != 4 + 2 * count) {
      broken("bad scan header");
    }
    const unsigned spectral_start = byte(body_ + 1 + 2 * count);
    const bool refining = (byte(body_ + 3 + 2 * count) >> 4U) != 0;
    const bool uses_dc = !layout_.progressive || (spectral_start == 0 && !refining);
    const bool uses_ac = !layout_.progressive || spectral_start != 0;
    for (std::size_t i = 0; i < count; ++i) {
      check_component(byte(body_ + 1 + 2 * i), byte(body_ + 2 + 2 * i), uses_dc, uses_ac);
    }
    if (++scans_ > kMostScans) broken("too many scans");
    skip_entropy_data();
  }

  void check_component(unsigned id, unsigned tables, bool uses_dc, bool uses_ac) const {
    const unsigned dc = tables >> 4U;
    const unsigned ac = tables & 0xFU;
    if (dc > 3 || ac > 3) broken("bad Huffman table number");
    if ((uses_dc && !dc_.at(dc)) || (uses_ac && !ac_.at(ac))) broken("a Huffman table is missing");
    for (std::size_t i = 0; i < static_cast<std::size_t>(layout_.components); ++i) {
      if (components_.at(i).id != id) continue;
      if (!quantisation_.at(components_.at(i).quantisation)) {
        broken("a quantisation table is missing");
      }
      return;
    }
    broken("a scan of an unknown component");
  }

  void skip_entropy_data() {
    while (at_ < bytes_.size()) {
      const void* found = std::memchr(bytes_.data() + at_, 0xFF, bytes_.size() - at_);
      if (found == nullptr) truncated();
      at_ = static_cast<std::size_t>(static_cast<const std::byte*>(found) - bytes_.data());
      if (at_ + 1 >= bytes_.size()) truncated();
      const unsigned next = byte(at_ + 1);
      if (next != 0x00 && next != 0xFF && (next < 0xD0 || next > 0xD7)) return;
      at_ += next == 0xFF ? 1 : 2;
    }
    truncated();
  }

  std::span<const std::byte> bytes_;
  const std::string& name_;
  std::size_t at_ = 0;
  std::size_t body_ = 0;
  std::size_t end_ = 0;
  int scans_ = 0;
  JpegLayout layout_;
  std::array<Component, 4> components_{};
  std::array<bool, 4> quantisation_{};
  std::array<bool, 4> dc_{};
  std::array<bool, 4> ac_{};
};

}  // namespace

JpegLayout scan_jpeg(std::span<const std::byte> bytes, const std::string& name) {
  return JpegWalk(bytes, name).run();
}

}  // namespace ldm
