#pragma once

#include <cstdint>
#include <string>
#include <utility>
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

/// Height and width of a layer of so many pixels, halved (rounding up) from latents of h × w.
std::pair<std::int64_t, std::int64_t> layer_size(std::int64_t pixels, std::int64_t h,
                                                 std::int64_t w);

}  // namespace ldm::models
