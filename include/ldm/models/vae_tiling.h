#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>

namespace ldm::models {

/// How an autoencoder cuts large pictures into overlapping square tiles; diffusers'
/// `tile_sample_min_size`, `tile_latent_min_size` and `tile_overlap_factor`.
struct VaeTiling {
  std::int64_t tile_sample_min_size = 512;  ///< side of a tile in pixels
  std::int64_t tile_latent_min_size = 64;   ///< side of a tile in latents
  double tile_overlap_factor = 0.25;        ///< share of a tile that is blended with the next

  /// Tiles of `sample_size` pixels for an autoencoder with `downsampling` pixels per latent,
  /// enlarged to a multiple of 4 latents: only then do overlapping tiles add up to the picture's
  /// size.
  static VaeTiling of(std::int64_t sample_size, std::int64_t downsampling);
};

/// One direction of the cutting, in the units of its input and of its output.
struct TileGrid {
  std::int64_t size = 0;    ///< side of an input tile
  std::int64_t stride = 0;  ///< input step from tile to tile
  std::int64_t blend = 0;   ///< output rows and columns blended with the neighbour before
  std::int64_t keep = 0;    ///< output rows and columns that each tile contributes at most
};

TileGrid encode_grid(const VaeTiling& tiling);
TileGrid decode_grid(const VaeTiling& tiling);

/// x [B, C, H, W] → the tiles' images under `map`, blended linearly where they overlap and put
/// together. Equal to diffusers' `tiled_encode` and `tiled_decode`; holds two rows of output tiles
/// at a time, so memory is that of one tile's `map` beside input and output. `map` must
/// return a tensor of its own, which is blended in place. Throws Error::internal for a grid that
/// does not advance.
at::Tensor map_tiles(const at::Tensor& x, const TileGrid& grid,
                     const std::function<at::Tensor(const at::Tensor&)>& map);

/// x [B, C, H, W] → the same as AutoencoderTiny puts it together: each tile laid over what the
/// tiles above and to the left gave, its first `blend` rows and columns growing from 0 to their
/// full weight. Equal to diffusers' `_tiled_encode` and `_tiled_decode`; holds one tile's `map` at
/// a time. Sides of x must map to whole numbers of output rows and columns. Errors as for
/// `map_tiles`.
at::Tensor overlay_tiles(const at::Tensor& x, const TileGrid& grid,
                         const std::function<at::Tensor(const at::Tensor&)>& map);

/// map_tiles where `use_tiling` and a side of x is longer than a tile; otherwise map(x).
at::Tensor map_tiles(const at::Tensor& x, bool use_tiling, const TileGrid& grid,
                     const std::function<at::Tensor(const at::Tensor&)>& map);

}  // namespace ldm::models
