#include "ldm/app/run_model.h"

#include <filesystem>
#include <utility>

#include "ldm/app/commands.h"
#include "ldm/app/events.h"
#include "ldm/app/resolve.h"
#include "ldm/core/determinism.h"
#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/loading/open.h"
#include "ldm/loading/preview_map.h"
#include "ldm/loading/single_file.h"
#include "ldm/schedulers/registry.h"

namespace ldm::app {
namespace {

namespace fs = std::filesystem;

/// Of the first wording that is cut.
void warn(const PromptTimeline& prompt, const char* what, Console& console) {
  for (const PromptTokens& tokens : prompt.texts) {
    if (tokens.cut_text.empty()) continue;
    console.warning({LogLevel::kWarning, "prompt-truncated",
                     cat("the ", what, " is too long (", tokens.token_count,
                         " tokens); cut off: \"", tokens.cut_text, "\""),
                     "shorten it, read all of it with --long-prompt chunk, or make this an error "
                     "with --long-prompt error"});
    return;
  }
}

}  // namespace

RunModel open_run_model(const Options& options, Session& session) {
  const fs::path path = resolve_model(options);
  ModelFiles folder = open_model(path, options.prediction_type.value_or(""));
  RunModel model;
  model.defaults = folder.defaults;
  RunFacts& facts = model.facts;
  if (options.vae) {
    folder.component("vae") = open_vae_file(*options.vae);
    facts.vae_name = fs::path(*options.vae).filename().string();
  }
  facts.model_name = model_display_name(options, path);
  facts.family = folder.family.name;
  if (options.dtype.value_or("auto") != "auto") facts.asked_dtype = *options.dtype;
  facts.fast = options.fast.value_or(false);
  model.components = open_components(
      std::move(folder), make_execution_request(options),
      [&session](const LoadInfo& info) {
        session.report.load_s += info.seconds;
        session.console.event(load_event(info));
        if (session.on_load) session.on_load(info);
      },
      make_embedding_choices(options));
  if (options.preview_vae) {
    use_preview_autoencoder(*model.components, open_vae_file(*options.preview_vae));
  }
  add_controlnets(*model.components, make_controlnet_choices(options));
  facts.controlnets = controlnets_in_use(*model.components);
  facts.embeddings = embeddings_in_use(*model.components);
  facts.execution = execution_summary(*model.components);
  facts.determinism = determinism_settings(facts.execution.device != "cpu");
  session.report.execution = facts.execution;
  return model;
}

void add_inputs(RunFacts& facts, const Inputs& inputs) {
  facts.init_image_sha256 = inputs.init_image_sha256;
  facts.mask_sha256 = inputs.mask_sha256;
  facts.depth_sha256 = inputs.depth_sha256;
  facts.control_image_sha256 = inputs.control_image_sha256;
  facts.init_latents_sha256 = inputs.init_latents_sha256;
}

void check_eta(const Plan& plan) {
  if (plan.request.eta > 0 && !find_sampler(plan.request.sampler).traits.takes_eta) {
    throw Error::usage(
        cat("--eta works with the samplers ddim and tcd only, not with ", plan.request.sampler),
        "add --sampler ddim, or leave --eta out");
  }
}

void warn_of_cut_text(const Plan& plan, Console& console) {
  for (const PromptTimeline& prompt : plan.prompts) warn(prompt, "prompt", console);
  if (plan.guided()) warn(plan.negative_prompt, "negative prompt", console);
}

}  // namespace ldm::app
