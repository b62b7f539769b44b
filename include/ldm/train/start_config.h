#pragma once

#include <string>

namespace ldm::train {

/// The fields of a run's "start" section: how random weights begin, and which of a model's learn.
/// The defaults are torch.nn's, and all.
struct StartConfig {
  /// Residual branches begin at zero (Goyal et al. 2017, §5.1; `zero_module` of Dhariwal & Nichol
  /// 2021): every block begins as its shortcut, and deep networks learn from the first step on.
  bool zero_residuals = false;
  /// Of an AutoencoderKL: below zero its latents begin less noisy than with the noise of
  /// deviation 1, which first drowns them.
  double posterior_log_variance = 0.0;
  /// An autoencoder's encoder stays as it is: a denoiser that knows its latents goes on working.
  bool freeze_encoder = false;

  template <class V>
  void visit(V&& v) {
    v("zero_residuals", zero_residuals);
    v("posterior_log_variance", posterior_log_variance);
    v("freeze_encoder", freeze_encoder);
  }
  /// Error::input naming the field that is out of range, with `where` before it.
  void validate(const std::string& where) const;
};

}  // namespace ldm::train
