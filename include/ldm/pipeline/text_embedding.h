#pragma once

#include <span>
#include <string>
#include <vector>

#include "ldm/pipeline/request.h"

namespace at {
class Tensor;
}

namespace ldm {

struct Components;
class TextCache;

/// What the denoiser attends to at each UNet call of a plan.
struct EncodedText {
  /// Each once, [rows, S, D] in the denoiser's dtype: the unconditional row (for picture editing
  /// two), then one of each prompt; S = 77 · chunks.
  std::vector<at::Tensor> contexts;
  std::vector<int> at_call;  ///< number of the context at each call; empty: always 0

  /// Undefined for an unconditional model.
  at::Tensor at(int call) const;
  /// Whether a call sees another context than the one before it.
  bool changes(int call) const;
  /// Of all contexts in their order; empty where there is none.
  std::string sha256() const;
};

/// The text (or class) embeddings of a plan, each chunk of 77 tokens encoded once. Prompts of
/// fewer chunks than the longest beside them are continued with the empty prompt's embedding (as
/// compel does, and AUTOMATIC1111 where told to pad). Throws Error::non_finite.
EncodedText encode_prompts(Components& components, const Plan& plan, TextCache& cache);

/// Whether `encode_prompts` would need the text encoder's weights.
bool needs_text_encoder(const Components& components, const Plan& plan, const TextCache& cache);

/// The embedding z [1, N, D] of one chunk with its tokens' weights, fp32; `empty` [1, N, D] is the
/// empty prompt's, for kComfyUI. Sources: AUTOMATIC1111's sd_emphasis.py (EmphasisOriginal,
/// EmphasisOriginalNoNorm), ComfyUI's sd1_clip.py (encode_token_weights).
at::Tensor weigh_tokens(const at::Tensor& z, std::span<const float> weights,
                        PromptWeighting weighting, const at::Tensor& empty);

}  // namespace ldm
