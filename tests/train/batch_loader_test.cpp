#include "ldm/train/batch_loader.h"

#include <ATen/ops/allclose.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>

#include <atomic>
#include <set>

#include "ldm/core/error.h"
#include "tests/support/catch.h"
#include "tests/train/plain_pictures.h"

using ldm::Error;
using ldm::Image;
using ldm::test::plain_picture;
using namespace ldm::train;

namespace {

/// Picture i is i red all over; those in `bad` cannot be read.
class Numbers final : public Dataset {
 public:
  explicit Numbers(std::int64_t count, std::set<std::int64_t> bad = {})
      : count_(count), bad_(std::move(bad)) {}
  std::int64_t size() const override { return count_; }
  std::string name(std::int64_t index) const override { return std::to_string(index); }
  Example describe(std::int64_t index) const override {
    Example example;
    example.name = name(index);
    example.caption = "caption " + name(index);
    if (index % 2 == 0) example.class_label = index;
    example.attributes = {{"number", index}};
    return example;
  }
  Example read(std::int64_t index) const override {
    ++reads;
    if (bad_.count(index) > 0) throw Error::input(name(index) + " is damaged");
    Example example = describe(index);
    example.picture = plain_picture(6, 4, static_cast<std::uint8_t>(index), 255);
    return example;
  }
  mutable std::atomic<int> reads = 0;

 private:
  std::int64_t count_;
  std::set<std::int64_t> bad_;
};

PictureOptions small(Crop crop = Crop::kCenter, bool flip = false) { return {4, crop, flip}; }

/// Columns 0, 10, 20, … red.
Image ramp(int width, int height) {
  Image image{width, height, {}};
  for (int i = 0; i < width * height; ++i) {
    image.rgb.insert(image.rgb.end(), {static_cast<std::uint8_t>(i % width * 10), 0, 0});
  }
  return image;
}

}  // namespace

TEST_CASE("a batch holds what the order names") {
  const Numbers data(50);
  const SampleOrder order(50, 3);
  for (const int threads : {0, 1, 3}) {
    BatchLoader loader(data, order, small(), 3, threads);
    for (std::int64_t first = 0; first < 100; first += 8) {
      const Batch batch = loader.next(first, 8);
      CHECK(batch.first_position == first);
      CHECK(batch.pictures.sizes() == at::IntArrayRef({8, 3, 4, 4}));
      for (std::int64_t i = 0; i < 8; ++i) {
        const std::int64_t index = order.index_at(first + i);
        const auto at = static_cast<std::size_t>(i);
        CHECK(batch.samples[at] == index);
        CHECK(batch.captions[at] == "caption " + std::to_string(index));
        CHECK(batch.class_labels[at] == (index % 2 == 0 ? index : -1));
        CHECK(batch.attributes[at] == nlohmann::json{{"number", index}});
        const at::Tensor red = batch.pictures[i][0];
        CHECK(red.min().item<float>() == static_cast<float>(index) / 127.5F - 1.0F);
        CHECK(red.max().item<float>() == red.min().item<float>());
        CHECK(batch.pictures[i][1].min().item<float>() == 1.0F);
        CHECK(batch.pictures[i][2].max().item<float>() == -1.0F);
      }
    }
    CHECK(loader.skipped().empty());
  }
}

TEST_CASE("batches that skip about, as those of several processes do, are the same") {
  const Numbers data(31);
  const SampleOrder order(31, 1);
  BatchLoader whole(data, order, small(Crop::kRandom, true), 9, 1);
  BatchLoader even(data, order, small(Crop::kRandom, true), 9, 2);
  BatchLoader odd(data, order, small(Crop::kRandom, true), 9, 0);
  for (std::int64_t first = 0; first < 60; first += 6) {
    const Batch batch = whole.next(first, 6);
    const Batch front = even.next(first, 3);
    const Batch back = odd.next(first + 3, 3);
    CHECK(at::equal(batch.pictures, at::cat({front.pictures, back.pictures})));
  }
  CHECK(at::equal(whole.next(6, 6).pictures,
                  BatchLoader(data, order, small(Crop::kRandom, true), 9).next(6, 6).pictures));
}

TEST_CASE("the next batch is read before it is asked for") {
  const Numbers data(1000);
  BatchLoader loader(data, SampleOrder(1000, 1), small(), 1, 1);
  loader.next(0, 4);
  // What follows was announced, so asking for it reads nothing twice.
  for (std::int64_t first = 4; first < 40; first += 4) loader.next(first, 4);
  CHECK(data.reads >= 40);
  CHECK(data.reads <= 44);
}

TEST_CASE("unreadable pictures are replaced by the next one and listed once") {
  const Numbers data(10, {3, 4, 9});
  const SampleOrder order(10, 0, false);
  for (const int threads : {0, 2}) {
    BatchLoader loader(data, order, small(), 0, threads);
    const std::vector<std::int64_t> expected = {0, 1, 2, 5, 5, 5, 6, 7, 8, 0};
    CHECK(loader.next(0, 10).samples == expected);
    CHECK(loader.next(10, 10).samples == expected);
    const auto skipped = loader.skipped();
    REQUIRE(skipped.size() == 3);
    CHECK(skipped[0].name == "3");
    CHECK(skipped[1].reason == "4 is damaged");
    CHECK(skipped[2].name == "9");
  }
}

TEST_CASE("a data set without one readable picture ends the run") {
  const Numbers data(3, {0, 1, 2});
  for (const int threads : {0, 1}) {
    BatchLoader loader(data, SampleOrder(3, 0), small(), 0, threads);
    CHECK_THROWS_WITH(loader.next(0, 2), Contains("none of the 3 pictures can be read"));
  }
}

TEST_CASE("pictures are stretched, or cut in the middle or at random") {
  const Image wide = ramp(12, 4);
  const auto first_red = [&](const PictureOptions& options, std::int64_t position) {
    const Image fitted = fit_picture(wide, options, 5, position);
    REQUIRE(fitted.width == 4);
    REQUIRE(fitted.rgb.size() == 4 * 4 * 3);
    return static_cast<int>(fitted.rgb[0]);
  };
  CHECK(first_red(small(Crop::kCenter), 0) == 40);
  CHECK(first_red(small(Crop::kNone), 0) < 20);
  std::set<int> seen;
  for (std::int64_t position = 0; position < 200; ++position) {
    const int red = first_red(small(Crop::kRandom), position);
    CHECK(red == first_red(small(Crop::kRandom), position));
    seen.insert(red);
  }
  CHECK(seen == std::set<int>{0, 10, 20, 30, 40, 50, 60, 70, 80});
  const Image tall = fit_picture(plain_picture(5, 33, 9), small(Crop::kCenter), 0, 0);
  CHECK(tall.height == 4);
  CHECK(tall.rgb == plain_picture(4, 4, 9).rgb);
}

TEST_CASE("about half of the pictures are mirrored") {
  int mirrored = 0;
  for (std::int64_t position = 0; position < 1000; ++position) {
    const Image fitted = fit_picture(ramp(4, 4), small(Crop::kCenter, true), 5, position);
    CHECK(fitted.rgb[0] + fitted.rgb[9] == 30);
    mirrored += fitted.rgb[0] == 30 ? 1 : 0;
  }
  CHECK(mirrored > 450);
  CHECK(mirrored < 550);
}

TEST_CASE("crops are known by name") {
  CHECK(parse_crop("random") == Crop::kRandom);
  CHECK_THROWS_WITH(parse_crop("centre"), Contains("no crop \"centre\""));
}
