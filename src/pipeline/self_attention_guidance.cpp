#include "ldm/pipeline/self_attention_guidance.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/outer.h>
#include <ATen/ops/pad.h>
#include <ATen/ops/upsample_nearest2d.h>
#include <ATen/ops/where.h>

#include "ldm/loading/components.h"
#include "ldm/models/attention_layers.h"

namespace ldm {
namespace {

constexpr std::int64_t kBlurReach = 4;  // pixels to each side
constexpr double kBlurDeviation = 1.0;

/// [B, C, h, w], its edges mirrored; h and w are more than kBlurReach.
at::Tensor blurred(const at::Tensor& x) {
  const at::Tensor places = at::arange(-kBlurReach, kBlurReach + 1, x.options());
  const at::Tensor bell = (-0.5 * (places / kBlurDeviation).pow(2)).exp();
  const at::Tensor line = bell / bell.sum();
  const at::Tensor kernel = at::outer(line, line).expand({x.size(1), 1, -1, -1}).contiguous();
  const at::Tensor framed =
      at::pad(x, {kBlurReach, kBlurReach, kBlurReach, kBlurReach}, "reflect", std::nullopt);
  return at::conv2d(framed, kernel, {}, 1, at::IntArrayRef({0}), 1, x.size(1));
}

}  // namespace

struct SelfAttentionGuidance::Impl {
  models::AttentionLayer middle;
  std::int64_t images = 0;
  at::Tensor prediction;
  at::Tensor attended;  ///< [B, pixels of the middle]: attention that each gets, 1 on average

  void observe(const at::Tensor& query, const at::Tensor& key) {
    if (images == 0) return;
    attended =
        nn::attention_weights(query.narrow(0, 0, images), key.narrow(0, 0, images)).mean(1).sum(1);
  }
};

SelfAttentionGuidance::SelfAttentionGuidance(Components& c) : impl_(std::make_unique<Impl>()) {
  impl_->middle = models::self_attentions(c.unet.bare(), "mid").at(0);
  impl_->middle.layer->observe = [impl = impl_.get()](const at::Tensor& query,
                                                      const at::Tensor& key) {
    impl->observe(query, key);
  };
}

SelfAttentionGuidance::~SelfAttentionGuidance() { impl_->middle.layer->observe = nullptr; }

void SelfAttentionGuidance::expect(std::int64_t images) { impl_->images = images; }

void SelfAttentionGuidance::remember(const at::Tensor& predictions) {
  impl_->prediction = predictions.narrow(0, 0, impl_->images);
}

const at::Tensor& SelfAttentionGuidance::prediction() const { return impl_->prediction; }

at::Tensor SelfAttentionGuidance::degrade(const at::Tensor& clean) const {
  const std::int64_t height = clean.size(2), width = clean.size(3);
  const at::Tensor& attended = impl_->attended;
  const auto [h, w] = models::layer_size(attended.size(1), height, width);
  const at::Tensor much = attended.gt(1.0).to(at::kFloat).view({attended.size(0), 1, h, w});
  return at::where(at::upsample_nearest2d(much, {height, width}).gt(0.5), blurred(clean), clean);
}

}  // namespace ldm
