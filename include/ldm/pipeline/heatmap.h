#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "ldm/io/image.h"
#include "ldm/pipeline/request.h"

namespace at {
class Tensor;
}

namespace ldm {

struct Components;

/// Where the tokens of `word` stand in the prompt's ids, wherever they follow one another; empty
/// where they do not.
std::vector<std::int64_t> positions_of(const std::vector<std::int64_t>& word,
                                       const std::vector<std::int64_t>& prompt);

/// Where in the picture a word of the prompt was looked at: of all cross-attentions and all UNet
/// calls the mean over heads, layers, calls and the word's tokens of the prompt branch's
/// attention to it, each layer's map resized (bicubic, not below 0) to the latents' size. Tang et
/// al. 2023 (DAAM), eq. 4 to 6. Listens to the denoiser as long as it lives, and changes nothing.
class Heatmap {
 public:
  /// For `images` images of a plan.
  Heatmap(Components& components, const Plan& plan, std::int64_t images);
  ~Heatmap();
  Heatmap(const Heatmap&) = delete;
  Heatmap& operator=(const Heatmap&) = delete;

  /// The next denoiser call has the prompt branch of `images` images, number `first_image` on, in
  /// its rows from `row` on.
  void expect(std::int64_t row, std::int64_t first_image, std::int64_t images);

  /// The map of an image, [h, w] fp32 on the CPU.
  at::Tensor map(std::int64_t image) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// The picture in grey, half hidden under the map [h, w] in colours from blue (0) over green to red
/// (the map's largest value).
Image draw_heatmap(const Image& picture, const at::Tensor& map);

}  // namespace ldm
