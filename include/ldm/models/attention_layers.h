#pragma once

#include <string>
#include <vector>

#include "ldm/models/denoiser.h"
#include "ldm/nn/attention.h"

namespace ldm::models {

/// One attention of a denoiser's transformer blocks.
struct AttentionLayer {
  std::string name;  ///< as in its weights: "mid_block.attentions.0.transformer_blocks.0.attn1"
  nn::AttentionImpl* layer = nullptr;
};

/// The attentions of each pixel to all others, in the model's order; those whose names hold `part`.
std::vector<AttentionLayer> self_attentions(const DenoiserImpl& denoiser,
                                            const std::string& part = {});

/// The attentions of each pixel to the text.
std::vector<AttentionLayer> cross_attentions(const DenoiserImpl& denoiser);

}  // namespace ldm::models
