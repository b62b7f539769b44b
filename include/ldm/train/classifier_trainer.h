#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "ldm/train/batch_loader.h"
#include "ldm/train/classifier.h"
#include "ldm/train/dataset.h"
#include "ldm/train/optimizer.h"

namespace ldm::train {

/// How a classifier is trained.
struct ClassifierTraining {
  std::int64_t steps = 1500;
  std::int64_t batch_size = 64;
  /// Its rate at its highest: after a warm-up, before a cosine decay.
  OptimizerConfig optimizer{.kind = "muon", .learning_rate = 2e-3};
  std::uint64_t seed = 0;
  int threads = 1;  ///< that decode pictures
  /// Sizes; the numbers of classes come from the data set.
  models::AttributeClassifierConfig network;
};

/// One finished step: its number from 0 and its loss.
using StepObserver = std::function<void(std::int64_t step, double loss)>;

/// Trains a classifier from random weights on the pictures of `dataset`, blurred and noised a
/// little, so that it judges what pictures show rather than their last detail. Cross-entropy of the
/// object plus half that of background and of count, by the optimizer of `training`. Throws
/// Error::input for metadata without attributes, Error::non_finite for a loss of NaN.
Classifier train_classifier(const Dataset& dataset, const ClassifierTraining& training,
                            const StepObserver& on_step = {});

/// How much of what `dataset` shows a classifier names rightly, in the first `limit` pictures (all
/// with 0). Pictures that cannot be read do not count. Throws Error::input when none can.
AttributeAccuracy measure_accuracy(const Classifier& classifier, const Dataset& dataset,
                                   std::int64_t limit = 0);

/// Each picture [B, 3, S, S] mixed with a blurred copy of itself and with noise, by amounts that
/// depend on the seed and on its position only; in training mode's augmentation.
at::Tensor roughened(const at::Tensor& pictures, std::uint64_t seed, std::int64_t first_position);

}  // namespace ldm::train
