#pragma once

#include <cstdint>

namespace ldm::cpu {

/// The sizes of a 3×3 convolution with stride 1 and padding 1 over pictures [pictures, height,
/// width, in] → [pictures, height, width, out], without gaps; `in` and `out` are multiples of
/// `lanes`.
struct WinogradShape {
  std::int64_t pictures = 0;
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::int64_t in = 0;
  std::int64_t out = 0;

  /// Tiles of 2×2 output pixels, numbered by picture, row, column.
  std::int64_t tiles() const { return pictures * ((height + 1) / 2) * ((width + 1) / 2); }
};

/// A block of tiles whose transformed inputs lie side by side.
struct WinogradBlock {
  std::int64_t first = 0;  ///< tile
  std::int64_t tiles = 0;
};

/// Rows of a block.
struct WinogradRows {
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

/// Where the sums go: y = sums + bias + addend, with bias fp32 [out] and addend like y, or null.
struct WinogradOutput {
  const float* bias = nullptr;
  const void* addend = nullptr;
  void* y = nullptr;
};

/// Winograd's convolution F(2×2, 3×3) for one instruction set and element type. All work is cut
/// into jobs that any threads may do; how it is cut changes no result.
struct WinogradKernel {
  std::int64_t lanes;
  /// Output channels that are multiplied together: a column.
  std::int64_t column;
  /// Most tiles that one call of `multiply` takes.
  std::int64_t most_rows;
  /// 32-bit words of a transformed filter with so many output channels.
  std::int64_t (*words)(std::int64_t in, std::int64_t out);
  /// Transforms the filters of one column of `out` ≤ `column` channels, elements [3·3, in, out].
  void (*transform)(const void* taps, std::int64_t in, std::int64_t out, std::uint32_t* words);
  /// Tiles of a block whose transformed inputs a core's caches hold.
  std::int64_t (*most_tiles)(std::int64_t in);
  /// Bytes of a block's transformed inputs.
  std::int64_t (*input_bytes)(std::int64_t in, std::int64_t tiles);
  /// Bytes of scratch memory for `multiply` over so many rows.
  std::int64_t (*product_bytes)(std::int64_t rows);
  /// Transforms the inputs of some rows of a block; `zeros` is a pixel of `in` zeros.
  void (*gather)(const WinogradShape& shape, const void* x, const void* zeros,
                 const WinogradBlock& block, const WinogradRows& rows, void* input);
  /// Computes the column of output channels that begins at `channel`, for some rows of a block.
  void (*multiply)(const WinogradShape& shape, const void* input, const std::uint32_t* words,
                   std::int64_t channel, const WinogradBlock& block, const WinogradRows& rows,
                   const WinogradOutput& output, void* products);
};

const WinogradKernel& winograd_avx2();         ///< fp32; needs AVX2 and FMA
const WinogradKernel& winograd_avx512();       ///< fp32; needs AVX-512 F, BW, DQ and VL
const WinogradKernel& winograd_avx512_bf16();  ///< bf16; needs AVX512-BF16 besides

}  // namespace ldm::cpu
