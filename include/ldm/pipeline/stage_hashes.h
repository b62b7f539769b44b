#pragma once

#include <string>

#include "ldm/pipeline/request.h"

namespace at {
class Tensor;
}

namespace ldm {

/// SHA-256 of what each stage gave for one picture, as row-major little-endian bytes, in the data's
/// order; empty for a stage that a model does not have. Where a picture made again differs first,
/// there the cause lies.
struct StageHashes {
  std::string tokens;         ///< `tokens_sha256`
  std::string embeddings;     ///< [rows, S, D] in the denoiser's dtype, the unconditional first
  std::string first_latents;  ///< [C, h, w] fp32 that the sampler starts from
  std::string base_latents;   ///< [C, h, w] fp32 that the first of two passes gave
  std::string latents;        ///< [C, h, w] fp32 as they leave the sampler
  std::string picture;        ///< 8-bit RGB, [H, W, 3]

  template <typename Visitor>
  void visit(Visitor&& v) {
    v("tokens", tokens);
    v("embeddings", embeddings);
    v("first_latents", first_latents);
    v("base_latents", base_latents);
    v("latents", latents);
    v("picture", picture);
  }
  template <typename Visitor>
  void visit(Visitor&& v) const {
    StageHashes copy = *this;
    copy.visit(v);
  }
};

/// Of the ids of the prompts and the negative prompt as decimal text: a blank after each, a line
/// each; with weights, and where the words change, behind them.
std::string tokens_sha256(const Plan& plan);

/// Of a tensor's values in its own dtype, row by row; empty for an undefined one.
std::string tensor_sha256(const at::Tensor& x);

}  // namespace ldm
