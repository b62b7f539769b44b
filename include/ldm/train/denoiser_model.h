#pragma once

#include <memory>
#include <string>

#include "ldm/loading/model_files.h"
#include "ldm/models/autoencoder.h"
#include "ldm/models/denoiser.h"
#include "ldm/models/text_encoder.h"
#include "ldm/text/tokenizer.h"
#include "ldm/train/run_config.h"

namespace ldm::train {

/// The networks of a whole model with fp32 weights, and what describes them.
struct DenoiserModel {
  ModelFiles files;
  std::shared_ptr<models::DenoiserImpl> unet;
  std::shared_ptr<models::AutoencoderImpl> vae;
  std::shared_ptr<models::TextEncoderImpl> text_encoder;  ///< null: unconditional
  std::shared_ptr<const Tokenizer> tokenizer;             ///< null: no captions
  bool train_text_encoder = false;
};

/// The model of a run's "model" section: {"from": PATH} with any model that ldm-gen reads, or the
/// form of configs/*.json: "model_index", "scheduler", and each part by its name in the index as a
/// config (random weights from the run's seed) or as the path of one with weights; "tokenizer" and,
/// to have a picture of any use, "vae" are paths; "generation_config" is written beside the result.
/// "train_text_encoder" says whether the text encoder learns too. Error::input, Error::model.
DenoiserModel start_denoiser(const RunConfig& config);

}  // namespace ldm::train
