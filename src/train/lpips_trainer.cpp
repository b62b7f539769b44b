#include "ldm/train/lpips_trainer.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/binary_cross_entropy_with_logits.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/randperm.h>
#include <ATen/ops/stack.h>
#include <torch/optim/adam.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/train/draws.h"

namespace ldm::train {
namespace {

constexpr double kDropout = 0.5;
constexpr std::int64_t kMostSkipsInARow = 10;

/// The share of judgements that distances agree with, as the package counts it while training: a
/// tie counts for the first picture.
double agreement(const at::Tensor& d0, const at::Tensor& d1, const at::Tensor& judge) {
  const at::Tensor second = d1.lt(d0).to(judge.scalar_type());
  return (second * judge + (1 - second) * (1 - judge)).mean().item<double>();
}

std::vector<at::Tensor> trained_parameters(models::LPIPS& lpips, models::RankingNet& ranking) {
  std::vector<at::Tensor> parameters = ranking->parameters();
  for (const at::Tensor& parameter : lpips->parameters()) {
    if (parameter.requires_grad()) parameters.push_back(parameter);
  }
  return parameters;
}

/// Masks of one distance of a batch, each sample's drawn by its own number.
models::DropoutMasks masks_for(std::uint64_t seed, const char* purpose,
                               const std::vector<std::uint64_t>& numbers) {
  return [seed, purpose, numbers](std::size_t stage, at::IntArrayRef shape) {
    std::vector<at::Tensor> masks;
    for (const std::uint64_t number : numbers) {
      const std::string which = cat(purpose, " ", stage);
      at::Tensor mask = at::empty(shape.slice(1));
      mask.bernoulli_(1.0 - kDropout, draw_for(seed, which, number));
      masks.push_back(mask.div_(1.0 - kDropout));
    }
    return at::stack(masks);
  };
}

class Run {
 public:
  Run(const LpipsTrainConfig& config, const TwoAfcData& data, models::LPIPS lpips,
      models::RankingNet ranking)
      : config_(config),
        data_(data),
        trainer_(std::move(lpips), std::move(ranking), config.mode, config.lr) {}

  LpipsEpoch epoch(std::int64_t number) {
    const std::int64_t past = std::max<std::int64_t>(0, number - 1 - config_.epochs);
    const auto decay = static_cast<double>(std::max<std::int64_t>(1, config_.epochs_decay));
    trainer_.set_learning_rate(config_.lr * (1.0 - static_cast<double>(past) / decay));
    const auto epoch_index = static_cast<std::uint64_t>(number - 1);
    const at::Tensor order =
        at::randperm(data_.size(), draw_for(config_.seed, "lpips order", epoch_index), at::kLong);
    const auto* begin = order.const_data_ptr<std::int64_t>();
    LpipsEpoch result{number, config_.epochs + config_.epochs_decay, 0, 0, 0};
    std::int64_t counted = 0;
    for (std::int64_t at = 0; at < data_.size(); at += config_.batch_size) {
      const std::int64_t count = std::min(config_.batch_size, data_.size() - at);
      const auto first =
          epoch_index * static_cast<std::uint64_t>(data_.size()) + static_cast<std::uint64_t>(at);
      const LpipsStep step = train({begin + at, static_cast<std::size_t>(count)}, first);
      if (!std::isfinite(step.loss)) continue;
      counted += count;
      result.loss += step.loss * static_cast<double>(count);
      result.accuracy += step.accuracy * static_cast<double>(count);
    }
    result.loss /= static_cast<double>(std::max<std::int64_t>(1, counted));
    result.accuracy /= static_cast<double>(std::max<std::int64_t>(1, counted));
    result.skipped = skipped_;
    return result;
  }

 private:
  LpipsStep train(std::span<const std::int64_t> items, std::uint64_t first_sample) {
    models::DropoutMasks masks0, masks1;
    if (config_.dropout) {
      std::vector<std::uint64_t> numbers(items.size());
      for (std::size_t i = 0; i < items.size(); ++i) numbers[i] = first_sample + i;
      masks0 = masks_for(config_.seed, "lpips dropout p0", numbers);
      masks1 = masks_for(config_.seed, "lpips dropout p1", numbers);
    }
    const LpipsStep step = trainer_.step(data_.batch(items), masks0, masks1);
    if (std::isfinite(step.loss)) {
      in_a_row_ = 0;
      return step;
    }
    ++skipped_;
    if (++in_a_row_ >= kMostSkipsInARow) {
      throw Error::non_finite(cat(kMostSkipsInARow, " steps in a row had a loss of NaN or Inf"),
                              "lower --lr");
    }
    return step;
  }

  const LpipsTrainConfig& config_;
  const TwoAfcData& data_;
  LpipsTrainer trainer_;
  std::int64_t skipped_ = 0;
  std::int64_t in_a_row_ = 0;
};

}  // namespace

struct LpipsTrainer::Optimizer {
  Optimizer(std::vector<at::Tensor> parameters, double lr)
      : adam(std::move(parameters), torch::optim::AdamOptions(lr).betas({0.5, 0.999})) {}
  torch::optim::Adam adam;
};

LpipsMode parse_lpips_mode(const std::string& word) {
  if (word == "lin") return LpipsMode::kLin;
  if (word == "tune") return LpipsMode::kTune;
  if (word == "scratch") return LpipsMode::kScratch;
  throw Error::usage(cat("--mode: no mode \"", word, "\""), "one of lin, tune, scratch");
}

LpipsTrainer::LpipsTrainer(models::LPIPS lpips, models::RankingNet ranking, LpipsMode mode,
                           double lr)
    : lpips_(std::move(lpips)), ranking_(std::move(ranking)) {
  lpips_->set_trainable(mode != LpipsMode::kLin, true);
  optimizer_ = std::make_unique<Optimizer>(trained_parameters(lpips_, ranking_), lr);
}

LpipsTrainer::~LpipsTrainer() = default;

LpipsStep LpipsTrainer::step(const TwoAfcBatch& batch, const models::DropoutMasks& masks0,
                             const models::DropoutMasks& masks1) {
  const at::Tensor d0 = lpips_->forward(batch.ref, batch.p0, masks0);
  const at::Tensor d1 = lpips_->forward(batch.ref, batch.p1, masks1);
  const at::Tensor loss =
      at::binary_cross_entropy_with_logits(ranking_->forward(d0, d1), batch.judge);
  const LpipsStep result{loss.item<double>(), agreement(d0.detach(), d1.detach(), batch.judge)};
  if (!std::isfinite(result.loss)) return result;
  optimizer_->adam.zero_grad();
  loss.backward();
  optimizer_->adam.step();
  lpips_->clamp_weightings();
  return result;
}

void LpipsTrainer::set_learning_rate(double lr) {
  for (auto& group : optimizer_->adam.param_groups()) group.options().set_lr(lr);
}

void train_lpips(const LpipsTrainConfig& config, const TwoAfcData& data, models::LPIPS lpips,
                 models::RankingNet ranking,
                 const std::function<void(const LpipsEpoch&)>& on_epoch) {
  Run run(config, data, std::move(lpips), std::move(ranking));
  for (std::int64_t number = 1; number <= config.epochs + config.epochs_decay; ++number) {
    const LpipsEpoch epoch = run.epoch(number);
    if (on_epoch) on_epoch(epoch);
  }
}

}  // namespace ldm::train
