#pragma once

#include "ldm/core/execution.h"
#include "ldm/loading/lazy_module.h"
#include "ldm/loading/model_folder.h"
#include "ldm/models/autoencoder_kl.h"
#include "ldm/models/clip_text_model.h"
#include "ldm/models/unet_2d_condition.h"
#include "ldm/schedulers/registry.h"
#include "ldm/text/clip_tokenizer.h"

namespace ldm {

/// Everything a pipeline computes with, made by `open_components`.
struct Components {
  Components(ModelFolder model_folder, const ExecutionRequest& request,
             const LoadObserver& on_load);

  /// The row of the sampler that the model's scheduler_config.json names.
  const SamplerEntry& default_sampler() const;
  /// The model's noise schedule with `sampler`'s defaults for whatever the file leaves out.
  SchedulerConfig scheduler_config(const SamplerEntry& sampler) const;

  ModelFolder folder;
  Execution execution;
  CLIPTokenizer tokenizer;
  Lazy<models::CLIPTextModel> text_encoder;
  Lazy<models::UNet2DConditionModel> unet;
  Lazy<models::AutoencoderKL> vae;
};

}  // namespace ldm
