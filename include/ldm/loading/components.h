#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "ldm/core/execution.h"
#include "ldm/loading/controlnet.h"
#include "ldm/loading/lazy_module.h"
#include "ldm/loading/lora_request.h"
#include "ldm/loading/model_files.h"
#include "ldm/models/autoencoder.h"
#include "ldm/models/denoiser.h"
#include "ldm/models/text_encoder.h"
#include "ldm/schedulers/registry.h"
#include "ldm/text/prompt_chunks.h"
#include "ldm/text/tokenizer.h"

namespace ldm {

/// Everything a pipeline computes with, made by `open_components`.
struct Components {
  Components(ModelFiles model_files, const ExecutionRequest& request, LoadContext load_context);

  /// The upscaler's second schedule, of the noise on its small picture.
  SchedulerConfig low_res_schedule() const;
  /// Makes the UNet and the text encoder load with these changes. Errors of `match_loras`.
  void merge(const LoraRequest& request);
  /// Lets the ControlNets' weights go.
  void release_controlnets();

  ModelFiles files;
  Execution execution;
  LoadContext loading;
  std::shared_ptr<const Tokenizer> tokenizer;                 ///< null: no prompt is read
  std::shared_ptr<const PromptReader> prompts;                ///< where there is a tokenizer
  std::optional<Lazy<models::TextEncoderImpl>> text_encoder;  ///< none: an unconditional model
  Lazy<models::DenoiserImpl> unet;
  Lazy<models::AutoencoderImpl> vae;
  std::vector<LoraUse> loras;
  std::vector<std::unique_ptr<ControlNetPart>> controlnets;
  std::unique_ptr<ComponentFiles> preview_files;
  std::optional<Lazy<models::AutoencoderImpl>> preview_vae;  ///< a small one, of previews only
};

}  // namespace ldm
