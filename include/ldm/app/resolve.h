#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "ldm/app/inputs.h"
#include "ldm/app/options.h"
#include "ldm/core/execution_request.h"
#include "ldm/loading/controlnet_choice.h"
#include "ldm/loading/embedding_request.h"
#include "ldm/loading/lora_request.h"
#include "ldm/loading/model_files.h"
#include "ldm/pipeline/request.h"

namespace ldm::app {

/// The command line's options over those of its config file, checked. Throws Error::usage with all
/// problems in one message, Error::input for the config file itself.
Options with_config_file(const Options& command_line);

/// Fills what was not given from the model's generation_config.json, then from the built-in
/// defaults (30 steps, guidance 7.5, rescale 0, …). A size is left open when a picture or latents
/// to start from decide it. Throws Error::model when the model's own values are not legal.
void fill_defaults(Options& options, const GenerationDefaults& model);

/// Options and inputs in the pipeline's words; `options` as `fill_defaults` left them, with a seed.
Request make_request(const Options& options, const Inputs& inputs);
ExecutionRequest make_execution_request(const Options& options);
/// What --lora says: each FILE or FILE:SCALE; a file that has such a name is meant first. Then the
/// LoRAs that a weighted prompt names, from the folder of --lora-dir. Throws Error::input for a
/// name that is no file there.
LoraRequest make_lora_request(const Options& options, std::string_view prompt = {});
/// What --embedding says: each FILE or FILE:WORD; a file that has such a name is meant first.
std::vector<EmbeddingChoice> make_embedding_choices(const Options& options);

/// What --controlnet says, in the same form.
std::vector<ControlNetChoice> make_controlnet_choices(const Options& options);

/// The words of --long-prompt and --prompt-weighting.
const char* long_prompt_word(LongPrompt policy);
const char* weighting_word(PromptWeighting weighting);

/// What --long-prompt says.
LongPrompt long_prompt_of(const Options& options);

/// What --vae-tiling says.
VaeTiling vae_tiling_of(const Options& options);

/// A seed for a user who named none: 32 bits from the operating system, as other generators take.
std::uint64_t random_seed();

}  // namespace ldm::app
