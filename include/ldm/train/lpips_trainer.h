#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "ldm/models/lpips.h"
#include "ldm/models/ranking_net.h"
#include "ldm/train/judgement_data.h"

namespace ldm::train {

/// What training changes: the weightings only; the backbone too; or all from random weights.
enum class LpipsMode { kLin, kTune, kScratch };

/// "lin", "tune", "scratch"; Error::usage for another word.
LpipsMode parse_lpips_mode(const std::string& word);

/// A run's settings with the public trainer's defaults.
struct LpipsTrainConfig {
  LpipsMode mode = LpipsMode::kLin;
  double lr = 1e-4;               ///< Adam's, with betas (0.5, 0.999)
  std::int64_t epochs = 5;        ///< at that rate
  std::int64_t epochs_decay = 5;  ///< then this many, the rate falling to zero by equal steps
  std::int64_t batch_size = 50;
  std::int64_t load_size = 64;  ///< pixels a side that pictures are resized to; 0: as they are
  bool dropout = true;          ///< of half of the squared differences, before the weightings
  std::uint64_t seed = 0;
};

/// One batch's outcome.
struct LpipsStep {
  double loss = 0;      ///< mean cross-entropy, nats
  double accuracy = 0;  ///< share of judgements that the distances agreed with
};

/// Trains LPIPS and a ranking network on judgements of which of two distorted pictures is nearer to
/// the original (Zhang et al. 2018, section 3.3; `lpips.Trainer`).
class LpipsTrainer {
 public:
  /// Both networks hold weights; the trainer decides which of them want gradients.
  LpipsTrainer(models::LPIPS lpips, models::RankingNet ranking, LpipsMode mode, double lr);
  ~LpipsTrainer();

  /// One optimizer step, weightings clamped at zero after it. ref, p0, p1 [B, 3, H, W] in [-1, 1],
  /// judge [B] in [0, 1], 1 where p1 is nearer. The masks are those of both distances. A loss that
  /// is not finite changes nothing and is returned.
  LpipsStep step(const TwoAfcBatch& batch, const models::DropoutMasks& masks0 = {},
                 const models::DropoutMasks& masks1 = {});
  void set_learning_rate(double lr);

 private:
  models::LPIPS lpips_;
  models::RankingNet ranking_;
  struct Optimizer;
  std::unique_ptr<Optimizer> optimizer_;
};

/// What a finished epoch reports.
struct LpipsEpoch {
  std::int64_t number = 0;  ///< from 1
  std::int64_t of = 0;
  double loss = 0;           ///< mean over the epoch's pictures
  double accuracy = 0;       ///< likewise
  std::int64_t skipped = 0;  ///< steps whose loss was not finite, in the run so far
};

/// Runs all epochs of a config. Order and dropout are drawn by sample, so that the same seed gives
/// the same run. Error::non_finite after ten steps in a row whose loss is not finite; Error::input
/// from the data.
void train_lpips(const LpipsTrainConfig& config, const TwoAfcData& data, models::LPIPS lpips,
                 models::RankingNet ranking,
                 const std::function<void(const LpipsEpoch&)>& on_epoch);

}  // namespace ldm::train
