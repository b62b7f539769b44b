#include "ldm/nn/time_projections.h"

#include <ATen/ops/cat.h>

namespace ldm::nn {

TimeProjectionsImpl::TimeProjectionsImpl(const torch::nn::Module& unet, Activation activation)
    : activation_(activation) {
  for (const auto& module : unet.modules(/*include_self=*/false)) {
    const auto block = std::dynamic_pointer_cast<ResnetBlock2DImpl>(module);
    if (block && block->time_emb_proj) blocks_.push_back(block);
  }
}

at::Tensor TimeProjectionsImpl::forward(const at::Tensor& temb) const {
  return joined_ ? joined_->forward(activation_(temb)) : temb;
}

void TimeProjectionsImpl::pack() {
  std::vector<at::Tensor> weights, biases;
  for (const auto& block : blocks_) {
    const LinearImpl& layer = *block->time_emb_proj;
    if (!layer.weight.is_cuda() || is_unallocated(layer.weight)) return;
    weights.push_back(layer.weight);
    biases.push_back(layer.bias);
  }
  if (weights.empty()) return;
  const at::Tensor weight = at::cat(weights);
  joined_ = Linear(weight.size(1), weight.size(0));
  joined_->weight.set_data(weight);
  joined_->bias.set_data(at::cat(biases));
  std::int64_t column = 0;
  for (const auto& block : blocks_) {
    block->temb_column = column;
    column += block->time_emb_proj->weight.size(0);
    block->time_emb_proj->let_go();
  }
}

void TimeProjectionsImpl::unpack() {
  joined_ = nullptr;
  for (const auto& block : blocks_) block->temb_column.reset();
}

}  // namespace ldm::nn
