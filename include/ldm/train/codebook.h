#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>

#include "ldm/nn/vector_quantizer.h"
#include "ldm/train/tensor_map.h"
#include "ldm/train/training_loop.h"

namespace ldm::train {

/// The fields of a run's "codebook" section, for VQModel.
struct CodebookConfig {
  double weight = 1.0;       ///< of the codebook's loss in the whole
  double commitment = 0.25;  ///< β: how much the encoder is drawn to the codes
  bool ema = false;          ///< codes follow their vectors' mean instead of a gradient
  double ema_decay = 0.99;
  double dead_below = 0.0;  ///< codes used less than this per step are replaced; 0: never

  template <class V>
  void visit(V&& v) {
    v("weight", weight);
    v("commitment", commitment);
    v("ema", ema);
    v("ema_decay", ema_decay);
    v("dead_below", dead_below);
  }
  void validate(const std::string& where) const;
};

/// What quantisation gives a training step.
struct CodebookStep {
  at::Tensor z_q;  ///< [B, C, h, w]: codes forward, the identity backward (straight through)
  at::Tensor loss;  ///< []: |sg(z) - e|² + β |z - sg(e)|², means (van den Oord et al. 2017, eq. 3)
};

/// A codebook while it is learned, by gradients or by averages (van den Oord et al. 2017, A.1),
/// with codes that nothing uses replaced by vectors of the batch (Dhariwal et al. 2020,
/// Jukebox, 3.1).
class CodebookTraining {
 public:
  /// Sets the codes to uniform numbers within 1/K, as taming-transformers does, unless
  /// `keep_codes`.
  CodebookTraining(nn::VectorQuantizer quantizer, const CodebookConfig& config, std::uint64_t seed,
                   std::shared_ptr<ProcessGroup> group, bool keep_codes);

  /// z [B, C, h, w] from the encoder. Notes which codes were used.
  CodebookStep quantize(const at::Tensor& z);

  /// After an optimizer step: moves averaged codes, replaces dead ones, and reports "perplexity":
  /// e to the entropy of the codes' frequencies in this step, 1 … K.
  void after_step(std::int64_t step, Metrics& metrics);

  /// Whether gradients move the codes.
  bool learned_by_gradient() const { return !config_.ema; }
  TensorMap state(const std::string& prefix) const;

 private:
  void replace_dead(std::int64_t step);

  nn::VectorQuantizer quantizer_;
  CodebookConfig config_;
  std::uint64_t seed_;
  std::shared_ptr<ProcessGroup> group_;
  at::Tensor usage_;    ///< [K]: averaged number of vectors a step
  at::Tensor sums_;     ///< [K, C]: averaged sum of vectors
  at::Tensor counts_;   ///< [K] of this step
  at::Tensor totals_;   ///< [K, C] of this step
  at::Tensor vectors_;  ///< [N, C]: the last batch
};

}  // namespace ldm::train
