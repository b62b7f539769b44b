#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "ldm/loading/model_files.h"
#include "ldm/models/autoencoder.h"
#include "ldm/models/patch_discriminator.h"
#include "ldm/train/adversarial_loss.h"
#include "ldm/train/codebook.h"
#include "ldm/train/run_config.h"
#include "ldm/train/training_loop.h"

namespace ldm::train {

/// The fields of a run's "loss" section, for autoencoders. Every part is a mean over pixels: with
/// these, kl_weight means what it means in latent-diffusion, whose sums run over pixels.
struct AutoencoderLossConfig {
  double l1_weight = 1.0;
  double l2_weight = 0.0;
  double kl_weight = 1e-6;  ///< of the KL divergence, summed over latents and divided by pixels

  template <class V>
  void visit(V&& v) {
    v("l1_weight", l1_weight);
    v("l2_weight", l2_weight);
    v("kl_weight", kl_weight);
  }
  void validate(const std::string& where) const;
};

/// The fields of a run's "perceptual" section: LPIPS beside the difference of pixels.
struct PerceptualConfig {
  double weight = 1.0;
  std::string net = "vgg";  ///< vgg, alex or squeeze
  std::string lin;          ///< published channel weights
  std::string backbone;     ///< published network
  std::string weights;      ///< or one file of `ldm-lpips train`

  template <class V>
  void visit(V&& v) {
    v("weight", weight);
    v("net", net);
    v("lin", lin);
    v("backbone", backbone);
    v("weights", weights);
  }
  void validate(const std::string& where) const;
};

/// The fields of a run's "discriminator" section: the adversarial loss's and the network's.
struct DiscriminatorConfig {
  AdversarialConfig loss;
  models::PatchDiscriminatorConfig network;
  double learning_rate_factor = 1.0;

  template <class V>
  void visit(V&& v) {
    loss.visit(v);
    network.visit(v);
    v("learning_rate_factor", learning_rate_factor);
  }
  void validate(const std::string& where) const;
};

/// Pictures of a range of samples: [B, 3, S, S] fp32 in [-1, 1].
using PictureSource = std::function<at::Tensor(SampleRange)>;

/// Learns an AutoencoderKL or a VQModel from pictures (Rombach et al. 2022, section 3.1 and
/// appendix G; latent-diffusion's LPIPSWithDiscriminator and VQLPIPSWithDiscriminator). Sections
/// "perceptual" and "discriminator" add those losses where the configuration has them. The
/// discriminator learns from the reconstructions that the autoencoder's own step made.
class AutoencoderTask final : public Task {
 public:
  /// `model` has weights. The noise of its posterior is keyed by the samples' numbers.
  AutoencoderTask(const ComponentFiles& description, std::shared_ptr<models::AutoencoderImpl> model,
                  const RunConfig& config, const RunPlace& place, PictureSource pictures,
                  bool fine_tune);
  ~AutoencoderTask() override;

  std::vector<Phase> phases() override;
  bool active(std::size_t phase, std::int64_t step) const override;
  at::Tensor loss(std::size_t phase, SampleRange samples, std::int64_t step,
                  Metrics& metrics) override;
  void after_step(std::int64_t step, Metrics& metrics) override;
  TensorMap state() const override;
  /// Writes config.json, its scaling_factor measured anew, and the weights, as diffusers does.
  void export_model(const std::filesystem::path& folder) override;

  /// 1 / the standard deviation of latents of the first samples.
  double measure_scaling_factor() const;
  /// The most likely reconstruction of x [B, 3, H, W] → the same shape.
  at::Tensor reconstruct(const at::Tensor& x) const;

 private:
  struct Parts;
  at::Tensor autoencoder_loss(SampleRange samples, std::int64_t step, Metrics& metrics);
  at::Tensor discriminator_loss(SampleRange samples, std::int64_t step, Metrics& metrics);

  std::unique_ptr<Parts> parts_;
};

}  // namespace ldm::train
