#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ldm/train/dataset.h"
#include "ldm/train/denoiser_model.h"
#include "ldm/train/denoising_loss.h"
#include "ldm/train/latent_cache.h"
#include "ldm/train/lora.h"
#include "ldm/train/picture_source.h"
#include "ldm/train/run_config.h"
#include "ldm/train/training_loop.h"

namespace ldm::train {

/// The fields of a run's "denoising" section.
struct DenoisingConfig {
  double min_snr_gamma = 5.0;  ///< 0: every timestep weighs the same
  double condition_dropout =
      0.1;                    ///< part of the samples whose caption becomes empty, for guidance
  bool cache_latents = true;  ///< encode pictures once, to OUTPUT_DIR/latents
  std::string cache_folder;   ///< another place for them
  bool gradient_checkpointing = false;  ///< recompute the UNet's blocks instead of keeping them

  template <class V>
  void visit(V&& v) {
    v("min_snr_gamma", min_snr_gamma);
    v("condition_dropout", condition_dropout);
    v("cache_latents", cache_latents);
    v("cache_folder", cache_folder);
    v("gradient_checkpointing", gradient_checkpointing);
  }
  void validate(const std::string& where) const;
};

/// The fields of a run's "samples" section: what a sheet shows every /run/sample_every steps.
struct SamplesConfig {
  std::vector<std::string> prompts;
  std::int64_t num_inference_steps = 30;
  double guidance_scale = 3.0;

  template <class V>
  void visit(V&& v) {
    v("prompts", prompts);
    v("num_inference_steps", num_inference_steps);
    v("guidance_scale", guidance_scale);
  }
  void validate(const std::string& where) const;
};

/// The samples that a denoiser learns from, by number.
struct DenoiserBatch {
  at::Tensor latents;  ///< [B, C, h, w] fp32, scaled
  std::vector<std::string> captions;
  std::vector<std::int64_t> class_labels;
};

/// Learns a denoiser in the latents of a frozen autoencoder (Rombach et al. 2022, eqs. 2 and 3),
/// with its text encoder or under a frozen one; or, with a "lora" section, low-rank changes of a
/// frozen denoiser. Each sample's timestep, noise and dropped caption
/// are keyed by its number.
class DenoiserTask final : public Task {
 public:
  /// `batches` gives samples' scaled latents and captions; `model` is the one they belong to.
  DenoiserTask(DenoiserModel model, const RunConfig& config, const RunPlace& place,
               std::function<DenoiserBatch(SampleRange)> batches);

  std::vector<Phase> phases() override;
  bool active(std::size_t, std::int64_t) const override { return true; }
  at::Tensor loss(std::size_t phase, SampleRange samples, std::int64_t step,
                  Metrics& metrics) override;
  TensorMap state() const override;
  /// Writes the whole model as a diffusers folder; of a LoRA run only the LoRA (`write_lora`).
  void export_model(const std::filesystem::path& folder) override;
  /// The whole model with today's weights in memory, as `open_model` would give it.
  ModelFiles model_files() const;

 private:
  /// Token ids of captions (or classes) [B, N]; those of dropped samples are the empty prompt's.
  at::Tensor condition_ids(const DenoiserBatch& batch, SampleRange samples) const;

  bool text_encoder_learns() const;

  DenoiserModel model_;
  DenoisingConfig config_;
  std::optional<LoraConfig> lora_;
  std::uint64_t seed_;
  at::Device device_;
  DiffusionProcess process_;
  std::function<DenoiserBatch(SampleRange)> batches_;
};

/// Gives a denoiser task its batches: captions from the data set, latents from the cache or encoded
/// as they come.
class LatentReader {
 public:
  /// Makes the cache where the configuration asks for one. `progress` as LatentCache's.
  LatentReader(const RunConfig& config, const DenoiserModel& model, const RunPlace& place,
               const std::function<void(std::int64_t, std::int64_t)>& progress);
  DenoiserBatch batch(SampleRange range);
  std::vector<std::string> skipped() const { return reader_.skipped(); }

 private:
  /// The noise of each sample's posterior, [B, shape...].
  at::Tensor posterior_noise(SampleRange range, at::IntArrayRef shape) const;

  std::shared_ptr<models::AutoencoderImpl> vae_;
  models::AutoencoderShape shape_;
  std::uint64_t seed_;
  at::Device device_;
  PictureReader reader_;
  std::unique_ptr<LatentCache> cache_;
};

}  // namespace ldm::train
