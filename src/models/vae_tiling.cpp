#include "ldm/models/vae_tiling.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cstddef>
#include <vector>

#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm::models {
namespace {

std::int64_t part(std::int64_t size, double factor) {
  return static_cast<std::int64_t>(static_cast<double>(size) * factor);
}

// Fades the first rows (dim 2) or columns (dim 3) of `tile` in, over the last ones of the already
// blended `before`. In place: the neighbours to come blend with the result.
void blend(const at::Tensor& before, const at::Tensor& tile, std::int64_t extent,
           std::int64_t dim) {
  extent = std::min({before.size(dim), tile.size(dim), extent});
  if (extent == 0) return;
  at::Tensor weight = at::arange(extent, at::TensorOptions(at::kDouble).device(tile.device()));
  weight = (weight / static_cast<double>(extent)).to(at::kFloat);
  if (dim == 2) weight = weight.unsqueeze(1);
  const at::Tensor fading = before.narrow(dim, before.size(dim) - extent, extent);
  at::Tensor edge = tile.narrow(dim, 0, extent);
  edge.copy_(fading * (1 - weight) + edge * weight);
}

at::Tensor kept(const at::Tensor& tile, std::int64_t keep) {
  return tile.narrow(2, 0, std::min(keep, tile.size(2))).narrow(3, 0, std::min(keep, tile.size(3)));
}

void check(const TileGrid& grid) {
  if (grid.size < 1 || grid.stride < 1 || grid.keep < 1 || grid.blend < 0) {
    throw Error::internal(cat("tiles of ", grid.size, " in steps of ", grid.stride, " with ",
                              grid.blend, " blended and ", grid.keep, " kept"));
  }
}

/// The weight of a tile's rows or columns against what lies below: 0 at the first, 1 from the
/// `extent`-th on; all 1 where nothing lies below.
at::Tensor overlay_weight(std::int64_t count, std::int64_t extent, bool is_first,
                          const at::Tensor& like) {
  at::Tensor weight = at::arange(count, at::TensorOptions(at::kFloat).device(like.device()));
  if (is_first || extent < 2) return at::ones_like(weight);
  return (weight / static_cast<double>(extent - 1)).clamp_max(1);
}

}  // namespace

VaeTiling VaeTiling::of(std::int64_t sample_size, std::int64_t downsampling) {
  const std::int64_t unit = 4 * downsampling;
  const std::int64_t units = std::max<std::int64_t>(1, (sample_size + unit - 1) / unit);
  VaeTiling tiling;
  tiling.tile_sample_min_size = units * unit;
  tiling.tile_latent_min_size = units * 4;
  return tiling;
}

TileGrid encode_grid(const VaeTiling& tiling) {
  const std::int64_t extent = part(tiling.tile_latent_min_size, tiling.tile_overlap_factor);
  return {tiling.tile_sample_min_size,
          part(tiling.tile_sample_min_size, 1 - tiling.tile_overlap_factor), extent,
          tiling.tile_latent_min_size - extent};
}

TileGrid decode_grid(const VaeTiling& tiling) {
  const std::int64_t extent = part(tiling.tile_sample_min_size, tiling.tile_overlap_factor);
  return {tiling.tile_latent_min_size,
          part(tiling.tile_latent_min_size, 1 - tiling.tile_overlap_factor), extent,
          tiling.tile_sample_min_size - extent};
}

at::Tensor map_tiles(const at::Tensor& x, const TileGrid& grid,
                     const std::function<at::Tensor(const at::Tensor&)>& map) {
  check(grid);
  std::vector<at::Tensor> above;
  std::vector<at::Tensor> finished_rows;
  for (std::int64_t i = 0; i < x.size(2); i += grid.stride) {
    const at::Tensor band = x.narrow(2, i, std::min(grid.size, x.size(2) - i));
    std::vector<at::Tensor> row;
    std::vector<at::Tensor> pieces;
    for (std::int64_t j = 0; j < x.size(3); j += grid.stride) {
      const at::Tensor tile = map(band.narrow(3, j, std::min(grid.size, x.size(3) - j)));
      if (i > 0) blend(above[row.size()], tile, grid.blend, 2);
      if (j > 0) blend(row.back(), tile, grid.blend, 3);
      row.push_back(tile);
      pieces.push_back(kept(tile, grid.keep));
    }
    finished_rows.push_back(at::cat(pieces, 3));
    above = std::move(row);
  }
  return at::cat(finished_rows, 2);
}

at::Tensor overlay_tiles(const at::Tensor& x, const TileGrid& grid,
                         const std::function<at::Tensor(const at::Tensor&)>& map) {
  check(grid);
  at::Tensor out;
  for (std::int64_t i = 0; i < x.size(2); i += grid.stride) {
    const at::Tensor band = x.narrow(2, i, std::min(grid.size, x.size(2) - i));
    for (std::int64_t j = 0; j < x.size(3); j += grid.stride) {
      const at::Tensor tile = map(band.narrow(3, j, std::min(grid.size, x.size(3) - j)));
      if (!out.defined()) {
        out = at::zeros({tile.size(0), tile.size(1), x.size(2) * grid.keep / grid.stride,
                         x.size(3) * grid.keep / grid.stride},
                        tile.options());
      }
      at::Tensor place = out.narrow(2, i * grid.keep / grid.stride, tile.size(2))
                             .narrow(3, j * grid.keep / grid.stride, tile.size(3));
      const at::Tensor weight = overlay_weight(tile.size(2), grid.blend, i == 0, x).unsqueeze(1) *
                                overlay_weight(tile.size(3), grid.blend, j == 0, x);
      place.copy_(weight * tile + (1 - weight) * place);
    }
  }
  return out;
}

at::Tensor map_tiles(const at::Tensor& x, bool use_tiling, const TileGrid& grid,
                     const std::function<at::Tensor(const at::Tensor&)>& map) {
  const bool fits = x.size(2) <= grid.size && x.size(3) <= grid.size;
  return use_tiling && !fits ? map_tiles(x, grid, map) : map(x);
}

}  // namespace ldm::models
