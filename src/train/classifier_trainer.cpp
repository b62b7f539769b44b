#include "ldm/train/classifier_trainer.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/avg_pool2d.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/upsample_nearest2d.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/nn/init.h"
#include "ldm/train/draws.h"
#include "ldm/train/learning_rate.h"

namespace ldm::train {
namespace {

constexpr double kMostNoise = 0.15;  // standard deviation, of values in [-1, 1]
constexpr double kSideWeight = 0.5;  // of background and count beside the object

/// The mean border colour of up to `kSamples` pictures of each background.
std::vector<std::array<double, 3>> measure_colors(const Dataset& dataset,
                                                  const AttributeNames& names) {
  constexpr std::int64_t kSamples = 16;
  std::vector<std::array<double, 3>> colors(names.backgrounds.size());
  std::vector<std::int64_t> seen(names.backgrounds.size());
  auto open = static_cast<std::int64_t>(seen.size());
  for (std::int64_t i = 0; i < dataset.size() && open > 0; ++i) {
    const Example example = dataset.describe(i);
    const auto background = static_cast<std::size_t>(
        names.background_class(attributes_of(example.attributes, example.name).background));
    if (seen[background] == kSamples) continue;
    try {
      const auto color = border_color(dataset.read(i).picture);
      for (std::size_t c = 0; c < 3; ++c) colors[background][c] += color[c];
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kInput) throw;
      continue;
    }
    if (++seen[background] == kSamples) --open;
  }
  for (std::size_t i = 0; i < colors.size(); ++i) {
    for (double& channel : colors[i])
      channel /= static_cast<double>(std::max<std::int64_t>(1, seen[i]));
  }
  return colors;
}

/// The classes of a batch, int64 [B] each.
struct Targets {
  at::Tensor object;
  at::Tensor background;
  at::Tensor count;
};

Targets targets_of(const Batch& batch, const AttributeNames& names, const Dataset& dataset) {
  const auto count = static_cast<std::int64_t>(batch.samples.size());
  Targets targets{at::empty({count}, at::kLong), at::empty({count}, at::kLong),
                  at::empty({count}, at::kLong)};
  for (std::size_t i = 0; i < batch.samples.size(); ++i) {
    const Attributes attributes =
        attributes_of(batch.attributes[i], dataset.name(batch.samples[i]));
    targets.object.mutable_data_ptr<std::int64_t>()[i] = names.object_class(attributes.object);
    targets.background.mutable_data_ptr<std::int64_t>()[i] =
        names.background_class(attributes.background);
    targets.count.mutable_data_ptr<std::int64_t>()[i] = attributes.count - 1;
  }
  return targets;
}

at::Tensor loss_of(const models::AttributeLogits& logits, const Targets& targets) {
  return at::cross_entropy_loss(logits.object, targets.object) +
         kSideWeight * at::cross_entropy_loss(logits.background, targets.background) +
         kSideWeight * at::cross_entropy_loss(logits.count, targets.count);
}

Classifier start(const Dataset& dataset, const ClassifierTraining& training) {
  Classifier classifier;
  classifier.names = collect_names(dataset);
  classifier.background_colors = measure_colors(dataset, classifier.names);
  models::AttributeClassifierConfig config = training.network;
  config.objects = static_cast<std::int64_t>(classifier.names.objects.size());
  config.backgrounds = static_cast<std::int64_t>(classifier.names.backgrounds.size());
  config.counts = classifier.names.counts;
  classifier.network = models::AttributeClassifier(config);
  nn::initialize(*classifier.network, training.seed);
  // Every residual branch begins at nothing, so that depth costs no patience.
  for (const auto& blocks : {classifier.network->blocks1, classifier.network->blocks2}) {
    for (models::ClassifierBlock block : *blocks) nn::zero(*block->conv2);
  }
  return classifier;
}

}  // namespace

at::Tensor roughened(const at::Tensor& pictures, std::uint64_t seed, std::int64_t first_position) {
  const at::Tensor blurred = at::upsample_nearest2d(at::avg_pool2d(pictures, {2, 2}),
                                                    {pictures.size(2), pictures.size(3)});
  std::vector<at::Tensor> rough;
  for (std::int64_t i = 0; i < pictures.size(0); ++i) {
    const at::Generator draw =
        draw_for(seed, "roughen", static_cast<std::uint64_t>(first_position + i));
    const at::Tensor amounts = at::rand({2}, draw);
    const double blur = amounts[0].item<double>();
    // Squared: most pictures stay nearly clean, as generated ones are.
    const double noise = kMostNoise * std::pow(amounts[1].item<double>(), 2);
    rough.push_back(pictures[i] + blur * (blurred[i] - pictures[i]) +
                    noise * at::randn(pictures[i].sizes(), draw));
  }
  return at::stack(rough);
}

Classifier train_classifier(const Dataset& dataset, const ClassifierTraining& training,
                            const StepObserver& on_step) {
  Classifier classifier = start(dataset, training);
  const PictureOptions options{training.network.picture_size, Crop::kNone, false};
  BatchLoader loader(dataset, SampleOrder(dataset.size(), training.seed), options, training.seed,
                     training.threads);
  const std::unique_ptr<Optimizer> optimizer =
      make_optimizer(trained_parameters(*classifier.network), training.optimizer, nullptr);
  ScheduleConfig schedule;
  schedule.warmup_steps = std::min<std::int64_t>(50, training.steps / 10);
  for (std::int64_t step = 0; step < training.steps; ++step) {
    const std::int64_t first = step * training.batch_size;
    const Batch batch = loader.next(first, training.batch_size);
    const at::Tensor loss =
        loss_of(classifier.network->forward(roughened(batch.pictures, training.seed, first)),
                targets_of(batch, classifier.names, dataset));
    const double value = loss.item<double>();
    if (!std::isfinite(value)) {
      throw Error::non_finite(cat("the classifier's loss is ", value, " at step ", step),
                              "train with a lower learning rate");
    }
    optimizer->zero_grad();
    loss.backward();
    optimizer->step(learning_rate_factor(schedule, step, training.steps));
    if (on_step) on_step(step, value);
  }
  return classifier;
}

AttributeAccuracy measure_accuracy(const Classifier& classifier, const Dataset& dataset,
                                   std::int64_t limit) {
  constexpr std::size_t kBatch = 64;
  const std::int64_t last = limit > 0 ? std::min(limit, dataset.size()) : dataset.size();
  AttributeAccuracy sum;
  std::vector<Image> pictures;
  std::vector<Attributes> truths;
  for (std::int64_t i = 0; i < last; ++i) {
    try {
      Example example = dataset.read(i);
      truths.push_back(attributes_of(example.attributes, example.name));
      pictures.push_back(std::move(example.picture));
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kInput) throw;
    }
    if (pictures.size() < kBatch && i + 1 < last) continue;
    const std::vector<AttributeGuess> guesses = classifier.classify(pictures);
    for (std::size_t k = 0; k < guesses.size(); ++k) {
      const AttributeGuess& guess = guesses[k];
      sum.object += guess.attributes.object == truths[k].object ? 1 : 0;
      sum.background += guess.attributes.background == truths[k].background ? 1 : 0;
      sum.border += guess.border_background == truths[k].background ? 1 : 0;
      sum.count += guess.attributes.count == truths[k].count ? 1 : 0;
      ++sum.pictures;
    }
    pictures.clear();
    truths.clear();
  }
  if (sum.pictures == 0) throw Error::input("no picture to measure the classifier on can be read");
  for (double* part : {&sum.object, &sum.background, &sum.border, &sum.count}) {
    *part /= static_cast<double>(sum.pictures);
  }
  return sum;
}

}  // namespace ldm::train
