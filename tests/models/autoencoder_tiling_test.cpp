#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/upsample_nearest2d.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <array>

#include "ldm/core/error.h"
#include "ldm/models/vae_tiling.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"

using ldm::models::decode_grid;
using ldm::models::encode_grid;
using ldm::models::map_tiles;
using ldm::models::overlay_tiles;
using ldm::models::TileGrid;
using ldm::models::VaeTiling;

TEST_CASE("VaeTiling takes diffusers' sizes for published sample sizes") {
  const VaeTiling tiling = VaeTiling::of(512, 8);
  CHECK(tiling.tile_sample_min_size == 512);
  CHECK(tiling.tile_latent_min_size == 64);
  const TileGrid encode = encode_grid(tiling);
  CHECK(std::array{encode.size, encode.stride, encode.blend, encode.keep} ==
        std::array<std::int64_t, 4>{512, 384, 16, 48});
  const TileGrid decode = decode_grid(tiling);
  CHECK(std::array{decode.size, decode.stride, decode.blend, decode.keep} ==
        std::array<std::int64_t, 4>{64, 48, 128, 384});
}

TEST_CASE("Tiles put a picture together whole, whatever the sample size") {
  const std::int64_t sample_size = GENERATE(1, 20, 32, 100, 129);
  const std::int64_t height = GENERATE(1, 5, 13, 40);
  const TileGrid grid = decode_grid(VaeTiling::of(sample_size, 8));
  const at::Tensor z = at::arange(height * 17, at::kFloat).reshape({1, 1, height, 17});
  std::int64_t largest = 0;
  const auto enlarge = [&largest](const at::Tensor& tile) {
    largest = std::max({largest, tile.size(2), tile.size(3)});
    return at::upsample_nearest2d(tile, {8 * tile.size(2), 8 * tile.size(3)});
  };
  const at::Tensor whole = enlarge(z);
  largest = 0;
  // A map that sees one pixel at a time gives the same in tiles: blending equals with equals.
  ldm::test::expect_close(map_tiles(z, grid, enlarge), whole, 1e-5, "nearest neighbour");
  CHECK(largest <= grid.size);
}

TEST_CASE("Tiles blend linearly into their neighbours") {
  const TileGrid grid{4, 2, 2, 2};
  double value = -1.0;
  const auto constant = [&value](const at::Tensor& tile) {
    value += 1.0;
    return at::zeros(tile.sizes()) + value;
  };
  const at::Tensor row = map_tiles(at::zeros({1, 1, 2, 6}), grid, constant).flatten();
  const at::Tensor expected = at::arange(12, at::kFloat).remainder(6) / 2;
  // Three tiles with the values 0, 1, 2: each fades in from the one before over two columns.
  const at::Tensor faded = (expected - 1).clamp_min(0);
  ldm::test::expect_close(row, faded, 1e-6, "one row of tiles");
}

TEST_CASE("Tiles laid over one another put a picture together whole") {
  const std::int64_t height = GENERATE(1, 5, 14, 40);
  const TileGrid grid = decode_grid({64, 8, 0.25});
  const at::Tensor z = at::arange(height * 17, at::kFloat).reshape({1, 1, height, 17});
  const auto enlarge = [](const at::Tensor& tile) {
    return at::upsample_nearest2d(tile, {8 * tile.size(2), 8 * tile.size(3)});
  };
  ldm::test::expect_close(overlay_tiles(z, grid, enlarge), enlarge(z), 1e-5, "nearest neighbour");
}

TEST_CASE("Tiles laid over one another grow in to their full weight") {
  double value = -1.0;
  const auto constant = [&value](const at::Tensor& tile) {
    value += 1.0;
    return at::zeros(tile.sizes()) + value;
  };
  const at::Tensor row = overlay_tiles(at::zeros({1, 1, 2, 7}), TileGrid{5, 2, 3, 2}, constant);
  // Tiles of 0, 1, 2, 3 from columns 0, 2, 4, 6, each over three columns from 0 to 1.
  const at::Tensor expected = at::zeros({1, 1, 2, 7});
  const double columns[] = {0, 0, 0, 0.5, 1, 1.5, 2};
  for (std::int64_t i = 0; i < 7; ++i) expected.select(3, i).fill_(columns[i]);
  ldm::test::expect_close(row, expected, 1e-6, "one row of tiles");
}

TEST_CASE("Tiling is left out where a picture fits one tile or nobody asks") {
  int tiles = 0;
  const auto count = [&tiles](const at::Tensor& tile) {
    ++tiles;
    return tile + 0;
  };
  const TileGrid grid{4, 3, 1, 3};
  map_tiles(at::zeros({1, 1, 4, 4}), true, grid, count);
  map_tiles(at::zeros({1, 1, 9, 9}), false, grid, count);
  CHECK(tiles == 2);
  map_tiles(at::zeros({1, 1, 9, 4}), true, grid, count);
  CHECK(tiles == 8);
}

TEST_CASE("Tiles that do not advance are refused") {
  const auto same = [](const at::Tensor& tile) { return tile; };
  const at::Tensor x = at::zeros({1, 1, 8, 8});
  CHECK_THROWS_AS(map_tiles(x, TileGrid{4, 0, 1, 3}, same), ldm::Error);
  CHECK_THROWS_AS(map_tiles(x, TileGrid{0, 1, 1, 3}, same), ldm::Error);
  CHECK_THROWS_AS(overlay_tiles(x, TileGrid{4, 0, 1, 3}, same), ldm::Error);
  CHECK_THROWS_AS(map_tiles(x, TileGrid{4, 3, 1, 0}, same), ldm::Error);
  CHECK_THROWS_AS(map_tiles(x, TileGrid{4, 3, -1, 3}, same), ldm::Error);
}
