#pragma once

#include <memory>

#include "ldm/app/inputs.h"
#include "ldm/app/metadata.h"
#include "ldm/app/options.h"
#include "ldm/app/session.h"
#include "ldm/loading/model_files.h"

namespace ldm {
struct Components;
}

namespace ldm::app {

/// The model of a run, before any weights are read.
struct RunModel {
  std::shared_ptr<Components> components;
  RunFacts facts;  ///< what all its pictures have in common; no plan and no inputs yet
  GenerationDefaults defaults;
};

/// Opens the model that the options name, with their autoencoder and LoRAs. Loaded weights become
/// `load` events.
RunModel open_run_model(const Options& options, Session& session);

/// Notes in `facts` what was read besides the model.
void add_inputs(RunFacts& facts, const Inputs& inputs);

/// Throws Error::usage for an --eta that the plan's sampler does not know.
void check_eta(const Plan& plan);

/// Warns of text that the plan's text encoder cannot take.
void warn_of_cut_text(const Plan& plan, Console& console);

}  // namespace ldm::app
