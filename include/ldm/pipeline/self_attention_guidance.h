#pragma once

#include <cstdint>
#include <memory>

namespace at {
class Tensor;
}

namespace ldm {

struct Components;

/// Self-attention guidance (Hong et al. 2023): away from what a denoiser makes of a sample whose
/// most attended places are blurred. Listens to the denoiser's middle as long as it lives, and
/// changes nothing. Follows diffusers' StableDiffusionSAGPipeline.
class SelfAttentionGuidance {
 public:
  explicit SelfAttentionGuidance(Components& components);
  ~SelfAttentionGuidance();
  SelfAttentionGuidance(const SelfAttentionGuidance&) = delete;
  SelfAttentionGuidance& operator=(const SelfAttentionGuidance&) = delete;

  /// The first `images` rows of the next denoiser call are those whose attention and prediction
  /// count; 0: none do.
  void expect(std::int64_t images);
  /// What that call predicted for all its rows.
  void remember(const at::Tensor& predictions);
  /// The prediction [B, C, h, w] of the rows that count.
  const at::Tensor& prediction() const;
  /// Clean samples [B, C, h, w] blurred (Gauss, deviation 1, 9 pixels) where the pixels of the
  /// middle got more than a mean share of attention (equations 13 and 14).
  at::Tensor degrade(const at::Tensor& clean) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ldm
