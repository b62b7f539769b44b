#include "ldm/io/png_chunks.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <optional>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/image.h"

namespace ldm {
namespace {

constexpr std::size_t kChunkOverhead = 12;
constexpr std::size_t kMostChunks = 100'000;
constexpr int kPalette = 3;

[[noreturn]] void broken(const std::string& name, const std::string& what,
                         const std::string& hint = "save or download the picture again") {
  throw Error::input(name + ": broken PNG: " + what, hint);
}

std::uint32_t big_endian(const std::byte* at) {
  std::uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value = (value << 8U) | std::to_integer<std::uint32_t>(at[i]);
  return value;
}

bool is_letter(char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); }

// One chunk at `at`, with its length and CRC checked.
PngChunk read_chunk(std::span<const std::byte> bytes, std::size_t at, const std::string& name) {
  if (bytes.size() - at < kChunkOverhead) broken(name, cat("the file ends at byte ", bytes.size()));
  const std::uint32_t length = big_endian(bytes.data() + at);
  const char* type = reinterpret_cast<const char*>(bytes.data() + at + 4);
  PngChunk chunk{std::string_view(type, 4), {}};
  if (!std::all_of(chunk.type.begin(), chunk.type.end(), is_letter)) {
    broken(name, cat("no chunk at byte ", at));
  }
  if (length > bytes.size() - at - kChunkOverhead) {
    broken(name, cat("the file ends within chunk ", chunk.type, " at byte ", at));
  }
  chunk.data = bytes.subspan(at + 8, length);
  const uLong crc = ::crc32(0, reinterpret_cast<const Bytef*>(type), length + 4U);
  if (crc != big_endian(bytes.data() + at + 8 + length)) {
    broken(name, cat("CRC mismatch in chunk ", chunk.type, " at byte ", at));
  }
  return chunk;
}

bool legal_depth(int color_type, int depth) {
  switch (color_type) {
    case 0:
      return depth == 1 || depth == 2 || depth == 4 || depth == 8 || depth == 16;
    case kPalette:
      return depth == 1 || depth == 2 || depth == 4 || depth == 8;
    case 2:
    case 4:
    case 6:
      return depth == 8 || depth == 16;
    default:
      return false;
  }
}

void read_header(const PngChunk& chunk, PngLayout& layout, const std::string& name) {
  constexpr std::size_t kHeaderBytes = 13;
  if (chunk.type != "IHDR" || chunk.data.size() != kHeaderBytes) broken(name, "no IHDR");
  const auto byte = [&chunk](std::size_t i) { return std::to_integer<int>(chunk.data[i]); };
  layout.width = big_endian(chunk.data.data());
  layout.height = big_endian(chunk.data.data() + 4);
  layout.bit_depth = byte(8);
  layout.color_type = byte(9);
  layout.interlaced = byte(12) == 1;
  constexpr std::uint32_t kMost = 0x7FFFFFFF;
  const bool sized = layout.width - 1U < kMost && layout.height - 1U < kMost;
  if (!sized || !legal_depth(layout.color_type, layout.bit_depth) || byte(10) != 0 ||
      byte(11) != 0 || byte(12) > 1) {
    broken(name, cat("impossible header (", layout.width, "x", layout.height, ", colour type ",
                     layout.color_type, ", ", layout.bit_depth, " bits)"));
  }
  if (std::uint64_t{layout.width} * layout.height > kMaxImagePixels) {
    throw Error::input(cat(name, ": ", layout.width, "x", layout.height,
                           " pixels, at most 64 megapixels can be read"),
                       "scale the picture down");
  }
}

// The rules between chunks, fed in file order.
class ChunkOrder {
 public:
  ChunkOrder(const PngLayout& layout, const std::string& name) : layout_(layout), name_(name) {}

  void next(const PngChunk& chunk) {
    if (chunk.type == "IDAT") {
      if (data_done_) broken(name_, "pixel data in several places");
      if (layout_.color_type == kPalette && !has_palette_) broken(name_, "no palette");
      in_data_ = true;
      return;
    }
    data_done_ = data_done_ || in_data_;
    if (chunk.type == "PLTE") {
      const bool fits = chunk.data.size() % 3 == 0 && !chunk.data.empty() &&
                        chunk.data.size() <= std::size_t{3} * 256;
      if (has_palette_ || data_done_ || !fits) broken(name_, "bad palette");
      has_palette_ = true;
    } else if (chunk.type == "IEND") {
      if (!in_data_) broken(name_, "no pixel data");
    } else if ((static_cast<unsigned char>(chunk.type[0]) & 0x20U) == 0) {
      broken(name_, cat("unknown critical chunk ", chunk.type));
    }
  }

 private:
  const PngLayout& layout_;
  const std::string& name_;
  bool has_palette_ = false;
  bool in_data_ = false;
  bool data_done_ = false;
};

std::uint64_t rows_size(const PngLayout& layout, std::uint64_t width, std::uint64_t height) {
  constexpr std::array<std::uint64_t, 7> kChannels = {1, 0, 3, 1, 2, 0, 4};
  if (width == 0 || height == 0) return 0;
  const std::uint64_t bits = kChannels.at(static_cast<std::size_t>(layout.color_type)) *
                             static_cast<std::uint64_t>(layout.bit_depth);
  return height * (1 + (width * bits + 7) / 8);
}

// A zlib inflater that is fed pieces and hands out blocks.
class Inflater {
 public:
  Inflater() {
    if (::inflateInit(&stream_) != Z_OK) throw Error::internal("zlib cannot start");
  }
  ~Inflater() { ::inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  bool finished() const { return finished_; }

  /// Calls `take(block)` until the piece is used up; false when the stream is bad or `take`
  /// refuses.
  template <typename Take>
  bool feed(std::span<const std::byte> piece, Take take) {
    if (finished_) return true;
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(piece.data()));
    stream_.avail_in = static_cast<uInt>(piece.size());
    do {
      stream_.next_out = block_.data();
      stream_.avail_out = static_cast<uInt>(block_.size());
      const int status = ::inflate(&stream_, Z_NO_FLUSH);
      const std::size_t got = block_.size() - stream_.avail_out;
      if (got > 0 && !take(std::span<const unsigned char>(block_.data(), got))) return false;
      finished_ = status == Z_STREAM_END;
      if (finished_ || status == Z_BUF_ERROR) return true;
      if (status != Z_OK) return false;
    } while (stream_.avail_in > 0 || stream_.avail_out == 0);
    return true;
  }

 private:
  z_stream stream_{};
  bool finished_ = false;
  std::array<unsigned char, 32768> block_{};
};

}  // namespace

PngLayout scan_png(std::span<const std::byte> bytes, const std::string& name) {
  if (bytes.size() < kPngSignature.size() ||
      std::memcmp(bytes.data(), kPngSignature.data(), kPngSignature.size()) != 0) {
    broken(name, "no PNG signature");
  }
  PngLayout layout;
  std::size_t at = kPngSignature.size();
  read_header(read_chunk(bytes, at, name), layout, name);
  ChunkOrder order(layout, name);
  while (true) {
    const PngChunk chunk = read_chunk(bytes, at, name);
    if (layout.chunks.empty() || chunk.type == "IHDR") {
      if (!layout.chunks.empty()) broken(name, "two headers");
    } else {
      order.next(chunk);
    }
    if (layout.chunks.size() == kMostChunks) broken(name, "too many chunks");
    layout.chunks.push_back(chunk);
    at += kChunkOverhead + chunk.data.size();
    if (chunk.type == "IEND") break;
  }
  layout.file_end = at;
  return layout;
}

std::uint64_t filtered_size(const PngLayout& layout) {
  if (!layout.interlaced) return rows_size(layout, layout.width, layout.height);
  struct Pass {
    std::uint64_t x, y, step_x, step_y;
  };
  constexpr std::array<Pass, 7> kAdam7 = {{{0, 0, 8, 8},
                                           {4, 0, 8, 8},
                                           {0, 4, 4, 8},
                                           {2, 0, 4, 4},
                                           {0, 2, 2, 4},
                                           {1, 0, 2, 2},
                                           {0, 1, 1, 2}}};
  std::uint64_t total = 0;
  for (const Pass& pass : kAdam7) {
    total += rows_size(layout, (layout.width - pass.x + pass.step_x - 1) / pass.step_x,
                       (layout.height - pass.y + pass.step_y - 1) / pass.step_y);
  }
  return total;
}

void check_pixel_data(const PngLayout& layout, const std::string& name) {
  const std::uint64_t expected = filtered_size(layout);
  const auto inflater = std::make_unique<Inflater>();
  std::uint64_t total = 0;
  for (const PngChunk& chunk : layout.chunks) {
    if (chunk.type != "IDAT") continue;
    const bool good = inflater->feed(chunk.data, [&](std::span<const unsigned char> block) {
      total += block.size();
      return total <= expected;
    });
    if (!good) {
      broken(name,
             total > expected ? "more pixel data than the header says" : "damaged pixel data");
    }
  }
  if (total != expected || !inflater->finished()) {
    broken(name, cat("pixel data end after ", total, " of ", expected, " bytes"));
  }
}

std::string inflate_text(std::span<const std::byte> data, const std::string& name) {
  constexpr std::size_t kMost = std::size_t{16} << 20U;
  const auto inflater = std::make_unique<Inflater>();
  std::string text;
  const bool good = inflater->feed(data, [&text](std::span<const unsigned char> block) {
    text.append(reinterpret_cast<const char*>(block.data()), block.size());
    return text.size() <= kMost;
  });
  if (!good || !inflater->finished()) broken(name, "damaged or oversized text");
  return text;
}

}  // namespace ldm
