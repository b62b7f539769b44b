#pragma once

#include <memory>

#include "ldm/loading/model_files.h"
#include "ldm/models/autoencoder.h"
#include "ldm/train/run_config.h"

namespace ldm::train {

/// A network to train and what describes it.
struct StartModel {
  ComponentFiles description;
  std::shared_ptr<models::AutoencoderImpl> autoencoder;
  bool fine_tune = false;  ///< it came with weights
};

/// The autoencoder of a run's "model" section: {"from": PATH} takes one that exists (any layout
/// that ldm-gen reads) with its weights; else the section is a diffusers config (`_class_name` and
/// fields) and the weights are random, from the run's seed. fp32 on the CPU. Error::input.
StartModel start_autoencoder(const RunConfig& config);

/// Fills a network with random weights, from the run's seed, as its "start" section says.
void fill_for_training(torch::nn::Module& module, const RunConfig& config);

/// Reads a component's weights in fp32, on the CPU, each wanting a gradient. Error::model.
void load_for_training(torch::nn::Module& module, const ComponentFiles& files);

}  // namespace ldm::train
