#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ldm/io/tensor_source.h"

namespace ldm {

/// What a tensor of a LoRA file is for its layer. r: the rank, k: a convolution's kernel.
enum class LoraRole : std::uint8_t {
  kUp,     ///< LoRA: [out, r] or [out, r, 1, 1]
  kMid,    ///< LoCon: [r, r, k, k], or none
  kDown,   ///< LoRA: [r, in], [r, in, k, k], or [r, in, 1, 1] with a kMid
  kAlpha,  ///< a number: the change is multiplied by alpha / r
  kHada1A,
  kHada1B,  ///< LoHa: a [out, r] · b [r, in · k · k]; with a kHadaT a [r, out], b [r, in]
  kHada2A,
  kHada2B,
  kHadaT1,
  kHadaT2,  ///< [r, r, k, k], or none
  kKron1,   ///< LoKr: [o1, i1], or the product of A [o1, r] and B [r, i1]
  kKron1A,
  kKron1B,
  kKron2,  ///< [o2, i2] or [o2, i2, k, k], or A [o2, r] · B [r, i2 · k · k]
  kKron2A,
  kKron2B,
  kKronT2,    ///< [r, r, k, k], or none; A is then [r, o2], B [r, i2]
  kDiff,      ///< the change itself, of the weight's shape
  kBiasDiff,  ///< the change of the layer's bias
  kDora,      ///< DoRA: the new weight's norms, [out, 1 …] or [1, in, 1 …], or [out]
  kCount
};

/// Names of a layer's tensors by role; empty for what it does not have.
using LoraTensors = std::array<std::string, static_cast<std::size_t>(LoraRole::kCount)>;

/// One change of a weight, its factors still in their file.
struct WeightUpdate {
  std::shared_ptr<const TensorSource> source;
  LoraTensors tensors;
  double factor = 1.0;    ///< alpha / rank
  double strength = 1.0;  ///< what the user asked for

  const std::string& name(LoraRole role) const { return tensors[static_cast<std::size_t>(role)]; }
  bool has(LoraRole role) const { return !name(role).empty(); }
};

/// What is done to weights while they load, by parameter name.
using WeightUpdates = std::map<std::string, std::vector<WeightUpdate>, std::less<>>;

/// factor · ΔW, fp32 of a weight's `shape`: up · down (Hu et al. 2021), up · mid · down (LoCon),
/// (A1 B1) ⊙ (A2 B2) (LoHa, Hyeon-Woo et al. 2021), W1 ⊗ W2 (LoKr), or the stored change;
/// convolutions may come in Tucker's form. Source: LyCORIS' modules of these names. Error::model
/// naming the file for values that are not finite.
at::Tensor weight_change(const WeightUpdate& update, at::IntArrayRef shape);

/// Changes `weight` (fp32) by the update's strength: W + s · ΔW, or for DoRA (Liu et al. 2024)
/// W + s · (m · (W + ΔW) / ‖W + ΔW‖ - W).
void apply_update(const WeightUpdate& update, at::Tensor& weight);

/// Why the factors do not make a change of a weight of `shape`; empty where they do. Reads none.
std::string update_misfit(const WeightUpdate& update, at::IntArrayRef shape);

}  // namespace ldm
