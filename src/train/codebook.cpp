#include "ldm/train/codebook.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/bincount.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/log.h>
#include <ATen/ops/mse_loss.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/nn/attention.h"
#include "ldm/train/draws.h"
#include "ldm/train/process_group.h"

namespace ldm::train {

void CodebookConfig::validate(const std::string& where) const {
  const auto require = [&](bool fine, const char* field, const char* problem) {
    if (!fine) throw Error::input(cat(where, ": /", field, " ", problem));
  };
  require(weight >= 0, "weight", "is negative");
  require(commitment >= 0, "commitment", "is negative");
  require(ema_decay >= 0 && ema_decay < 1, "ema_decay", "is not in [0, 1)");
  require(dead_below >= 0, "dead_below", "is negative");
}

CodebookTraining::CodebookTraining(nn::VectorQuantizer quantizer, const CodebookConfig& config,
                                   std::uint64_t seed, std::shared_ptr<ProcessGroup> group,
                                   bool keep_codes)
    : quantizer_(std::move(quantizer)), config_(config), seed_(seed), group_(std::move(group)) {
  const c10::AutoGradMode no_grad(false);
  at::Tensor& codes = quantizer_->embedding->weight;
  const auto count = static_cast<double>(codes.size(0));
  if (!keep_codes) {
    at::Tensor drawn = at::empty(codes.sizes(), at::kFloat);
    codes.copy_(drawn.uniform_(-1.0 / count, 1.0 / count, draw_for(seed, "codebook", 0)));
  }
  usage_ = at::ones({codes.size(0)}, codes.options().requires_grad(false));
  sums_ = codes.detach().clone();
  counts_ = at::zeros_like(usage_);
  totals_ = at::zeros_like(sums_);
}

CodebookStep CodebookTraining::quantize(const at::Tensor& z) {
  const at::Tensor encoded = z.to(at::kFloat);
  at::Tensor indices;
  {
    const c10::AutoGradMode no_grad(false);
    indices = quantizer_->quantize(encoded).indices;
    vectors_ = nn::to_tokens(encoded).flatten(0, 1).detach();
    counts_ += at::bincount(indices.flatten(), {}, counts_.size(0));
    totals_.index_add_(0, indices.flatten(), vectors_);
  }
  const at::Tensor codes =
      nn::from_tokens(quantizer_->embedding->forward(indices.flatten(1)), encoded);
  at::Tensor loss = config_.commitment * at::mse_loss(encoded, codes.detach());
  if (!config_.ema) loss = loss + at::mse_loss(codes, encoded.detach());
  return {encoded + (codes - encoded).detach(), config_.weight * loss};
}

void CodebookTraining::after_step(std::int64_t step, Metrics& metrics) {
  const c10::AutoGradMode no_grad(false);
  if (group_->size() > 1) {
    group_->all_reduce_sum(counts_)->wait();
    group_->all_reduce_sum(totals_)->wait();
  }
  const at::Tensor frequency = counts_ / counts_.sum();
  constexpr double kTiny = 1e-10;
  metrics.add("perplexity", (-(frequency * (frequency + kTiny).log()).sum()).exp().item<double>(),
              1);
  usage_.lerp_(counts_, 1.0 - config_.ema_decay);
  sums_.lerp_(totals_, 1.0 - config_.ema_decay);
  if (config_.ema) {
    // Laplace smoothing keeps a code without vectors from being divided by zero.
    constexpr double kSmoothing = 1e-5;
    const at::Tensor all = usage_.sum();
    const double codes = static_cast<double>(usage_.size(0));
    const at::Tensor smoothed = (usage_ + kSmoothing) / (all + codes * kSmoothing) * all;
    quantizer_->embedding->weight.copy_(sums_ / smoothed.unsqueeze(1));
  }
  if (config_.dead_below > 0) replace_dead(step);
  counts_.zero_();
  totals_.zero_();
}

void CodebookTraining::replace_dead(std::int64_t step) {
  const at::Tensor dead = usage_.lt(config_.dead_below).nonzero().flatten();
  if (dead.numel() == 0 || !vectors_.defined()) return;
  const at::Tensor chosen =
      at::randint(vectors_.size(0), {dead.numel()},
                  draw_for(seed_, "dead codes", static_cast<std::uint64_t>(step)), at::kLong);
  at::Tensor fresh = vectors_.index_select(0, chosen.to(vectors_.device()));
  if (group_->size() > 1) group_->broadcast(fresh, 0)->wait();
  quantizer_->embedding->weight.index_copy_(0, dead, fresh);
  usage_.index_fill_(0, dead, 1.0);
  sums_.index_copy_(0, dead, fresh);
}

TensorMap CodebookTraining::state(const std::string& prefix) const {
  return {{prefix + "usage", usage_}, {prefix + "sums", sums_}};
}

}  // namespace ldm::train
