#include "ldm/pipeline/heatmap.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/clamp.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/upsample_bicubic2d.h>
#include <ATen/ops/upsample_bilinear2d.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "ldm/core/error.h"
#include "ldm/loading/components.h"
#include "ldm/models/attention_layers.h"
#include "ldm/pipeline/image_tensor.h"

namespace ldm {
std::vector<std::int64_t> positions_of(const std::vector<std::int64_t>& word,
                                       const std::vector<std::int64_t>& prompt) {
  std::vector<std::int64_t> positions;
  if (word.empty()) return positions;
  auto at = prompt.begin();
  while ((at = std::search(at, prompt.end(), word.begin(), word.end())) != prompt.end()) {
    for (std::size_t i = 0; i < word.size(); ++i, ++at) positions.push_back(at - prompt.begin());
  }
  return positions;
}

struct Heatmap::Impl {
  std::vector<models::AttentionLayer> layers;
  std::int64_t height = 0;
  std::int64_t width = 0;
  at::Tensor tokens;
  at::Tensor sum;  ///< [images, h, w]
  std::vector<double> counts;
  std::int64_t row = 0;
  std::int64_t first_image = 0;
  std::int64_t images = 0;

  void add(const at::Tensor& query, const at::Tensor& key) {
    const at::Tensor attention =
        nn::attention_weights(query.narrow(0, row, images), key.narrow(0, row, images));
    const at::Tensor word = attention.index_select(3, tokens.to(attention.device())).mean({1, 3});
    const auto [h, w] = models::layer_size(word.size(1), height, width);
    const at::Tensor resized =
        at::upsample_bicubic2d(word.view({images, 1, h, w}), {height, width}, false);
    sum.narrow(0, first_image, images) += at::clamp(resized, 0).squeeze(1).to(at::kCPU);
    for (std::int64_t i = 0; i < images; ++i)
      counts[static_cast<std::size_t>(first_image + i)] += 1;
  }
};

Heatmap::Heatmap(Components& c, const Plan& plan, std::int64_t images)
    : impl_(std::make_unique<Impl>()) {
  impl_->layers = models::cross_attentions(c.unet.bare());
  impl_->height = plan.latent_shape.at(1);
  impl_->width = plan.latent_shape.at(2);
  impl_->tokens = at::tensor(plan.heatmap_tokens);
  impl_->sum = at::zeros({images, impl_->height, impl_->width});
  impl_->counts.resize(static_cast<std::size_t>(images));
  for (const models::AttentionLayer& one : impl_->layers) {
    one.layer->observe = [impl = impl_.get()](const at::Tensor& query, const at::Tensor& key) {
      impl->add(query, key);
    };
  }
}

Heatmap::~Heatmap() {
  for (const models::AttentionLayer& one : impl_->layers) one.layer->observe = nullptr;
}

void Heatmap::expect(std::int64_t row, std::int64_t first_image, std::int64_t images) {
  impl_->row = row;
  impl_->first_image = first_image;
  impl_->images = images;
}

at::Tensor Heatmap::map(std::int64_t image) const {
  return impl_->sum[image] / std::max(1.0, impl_->counts.at(static_cast<std::size_t>(image)));
}

Image draw_heatmap(const Image& picture, const at::Tensor& map) {
  const at::Tensor large = at::upsample_bilinear2d(map.unsqueeze(0).unsqueeze(0),
                                                   {picture.height, picture.width}, false)[0][0];
  const at::Tensor value = large / at::clamp(large.amax(), 1e-12);
  std::vector<at::Tensor> rgb;
  for (const double peak : {3.0, 2.0, 1.0}) {
    rgb.push_back(at::clamp(1.5 - (4 * value - peak).abs(), 0, 1));
  }
  const at::Tensor colours = at::stack(rgb).unsqueeze(0) * 2 - 1;
  const at::Tensor grey = image_to_tensor(picture).mean(1, /*keepdim=*/true);
  return tensor_to_image((grey + colours) / 2);
}

}  // namespace ldm
