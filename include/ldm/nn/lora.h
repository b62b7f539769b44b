#pragma once

#include <torch/nn/module.h>

#include <cstdint>
#include <string>
#include <vector>

namespace ldm::nn {

/// Which layers learn a low-rank change of their weight, and how large it is.
struct LoraOptions {
  std::int64_t rank = 4;
  double alpha = 4;  ///< the change is multiplied by alpha / rank
  /// Ends of module names in whole segments: "to_q", "to_out.0".
  std::vector<std::string> target_modules;
};

/// Gives every Linear and Conv2d below `module` whose name ends in one of the targets a branch
/// beside its weight: y = W x + alpha / rank · B A x (Hu et al. 2021, eq. 3), A with the layer's
/// kernel and stride, B 1x1. The new parameters are "….lora_A.weight" and "….lora_B.weight" (peft's
/// names), placeholders as all others. Returns the layers' names in the module's order. For
/// training: packed layers leave the branch out.
std::vector<std::string> add_lora(torch::nn::Module& module, const LoraOptions& options);

}  // namespace ldm::nn
