#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "ldm/core/execution.h"
#include "ldm/loading/controlnet.h"
#include "ldm/loading/embedding_request.h"
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

class LoraMatcher;

/// Everything a pipeline computes with, made by `open_components`.
struct Components {
  Components(ModelFiles model_files, const ExecutionRequest& request, LoadContext load_context);

  /// The upscaler's second schedule, of the noise on its small picture.
  SchedulerConfig low_res_schedule() const;
  /// What LoRAs change here; reads no weights. Errors of `LoraMatcher::match`.
  std::vector<LoraUse> match(const LoraRequest& request) const;
  /// Makes the UNet and the text encoder load with the changes of these LoRAs, which `match` took,
  /// and lets weights go that were loaded with others. Whether that was so.
  bool merge(const LoraRequest& request);
  /// Teaches the text encoder and the prompts' reader words. Error::usage for a word that is given
  /// twice, Error::model for files and widths that do not fit.
  void learn(const std::vector<EmbeddingChoice>& choices);
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
  std::vector<EmbeddingUse> embeddings;
  std::vector<std::unique_ptr<ControlNetPart>> controlnets;
  std::unique_ptr<ComponentFiles> preview_files;
  std::optional<Lazy<models::AutoencoderImpl>> preview_vae;  ///< a small one, of previews only

 private:
  std::shared_ptr<LoraMatcher> lora_matcher_;
  LoraRequest merged_;
};

}  // namespace ldm
