#include "ldm/app/resolve.h"

#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "ldm/app/check_controls.h"
#include "ldm/app/check_options.h"
#include "ldm/app/config_file.h"
#include "ldm/app/noise_level_options.h"
#include "ldm/app/picture_options.h"
#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/pipeline/compat.h"

namespace ldm::app {
namespace {

Options built_in_defaults() {
  Options options;
  options.steps = 30;
  options.guidance_scale = 7.5;
  options.guidance_rescale = 0.0;
  options.num_images = 1;
  options.eta = 0.0;
  options.clip_skip = 0;
  options.prompt_syntax = "plain";
  options.prompt_weighting = "mean-restoring";
  options.long_prompt = "truncate";
  options.schedule = "default";
  options.compat = "diffusers";
  options.metadata = "full";
  options.device = "auto";
  options.dtype = "auto";
  options.vae_tiling = "auto";
  return options;
}

Options model_defaults(const GenerationDefaults& model) {
  Options options;
  options.steps = model.num_inference_steps;
  options.guidance_scale = model.guidance_scale;
  options.guidance_rescale = model.guidance_rescale;
  options.width = model.width;
  options.height = model.height;
  std::vector<Problem> problems = check_options(options);
  if (model.sampler) {
    auto problem = set_from_text(*find_option("sampler"), *model.sampler, options);
    if (problem) problems.push_back(*std::move(problem));
  }
  if (!problems.empty()) {
    std::vector<std::string> messages;
    for (const Problem& problem : problems) messages.push_back(problem.message);
    throw Error::model(cat("generation_config.json: ", join(messages, "; ")), problems[0].hint);
  }
  return options;
}

/// Guidance beside its scale; `options` are checked.
void add_steering(Request& request, const Options& options) {
  if (options.guidance_interval) {
    const std::vector<double> ends = parse_numbers(*options.guidance_interval, 2);
    request.guidance_start = ends.at(0);
    request.guidance_end = ends.at(1);
  }
  request.pag_scale = options.pag_scale.value_or(0);
  if (request.pag_scale > 0) request.pag_layers = options.pag_layers.value_or("mid");
  request.sag_scale = options.sag_scale.value_or(0);
  if (options.freeu) {
    const std::vector<double> f = parse_numbers(*options.freeu, 4);
    request.freeu = FreeUFactors{f.at(0), f.at(1), f.at(2), f.at(3)};
  }
  request.deep_cache = static_cast<int>(options.deep_cache.value_or(1));
}

/// Control pictures and when they steer; `options` are checked.
void add_control(Request& request, const Options& options, const Inputs& inputs) {
  const std::vector<std::string> canny = options.canny.value_or(std::vector<std::string>());
  for (std::size_t i = 0; i < inputs.control_images.size(); ++i) {
    ControlImage control{inputs.control_images[i], std::nullopt};
    if (!canny.empty()) {
      const std::vector<double> ends = parse_numbers(canny.size() == 1 ? canny[0] : canny.at(i), 2);
      if (!ends.empty()) control.canny = CannyThresholds{ends[0], ends[1]};
    }
    request.control_images.push_back(std::move(control));
  }
  request.control_start = options.control_start.value_or(0);
  request.control_end = options.control_end.value_or(1);
}

PromptWeighting weighting_of(const Options& options) {
  if (options.prompt_weighting == "plain") return PromptWeighting::kPlain;
  return options.prompt_weighting == "comfyui" ? PromptWeighting::kComfyUI
                                               : PromptWeighting::kMeanRestoring;
}

/// What another program does with prompts that were not said to be read otherwise.
Options compat_defaults(const Options& options) {
  Options defaults;
  if (!options.compat) return defaults;
  const Compat& compat = find_compat(*options.compat);
  defaults.long_prompt = long_prompt_word(compat.long_prompt);
  if (is_weighted(options)) defaults.prompt_weighting = weighting_word(compat.weighting);
  return defaults;
}

}  // namespace

Options with_config_file(const Options& command_line) {
  Options options = command_line;
  if (options.config) fill_unset(options, read_config_file(*options.config));
  throw_problems(check_options(options));
  return options;
}

void fill_defaults(Options& options, const GenerationDefaults& model) {
  Options defaults = model_defaults(model);
  if (options.init_image || options.init_latents) {
    defaults.width.reset();
    defaults.height.reset();
  }
  if (is_image_to_image(options)) {
    defaults.guidance_rescale.reset();
  }
  if (is_image_to_image(options) || options.hires_scale) defaults.strength_mode = "scaled";
  const int listed = schedule_choice(options).listed_steps();
  if (listed > 0) defaults.steps = listed;
  fill_unset(options, defaults);
  fill_unset(options, compat_defaults(options));
  fill_unset(options, built_in_defaults());
  throw_problems(check_size(options.width, options.height));
}

const char* long_prompt_word(LongPrompt policy) {
  if (policy == LongPrompt::kChunk) return "chunk";
  return policy == LongPrompt::kError ? "error" : "truncate";
}

const char* weighting_word(PromptWeighting weighting) {
  if (weighting == PromptWeighting::kPlain) return "plain";
  return weighting == PromptWeighting::kComfyUI ? "comfyui" : "mean-restoring";
}

LongPrompt long_prompt_of(const Options& options) {
  if (options.long_prompt == "chunk") return LongPrompt::kChunk;
  return options.long_prompt == "error" ? LongPrompt::kError : LongPrompt::kTruncate;
}

Request make_request(const Options& options, const Inputs& inputs) {
  Request request;
  request.prompt = inputs.prompt;
  request.negative_prompt = inputs.negative_prompt;
  request.seed = options.seed.value_or(0);
  request.num_images = static_cast<int>(options.num_images.value_or(1));
  request.batch_size = static_cast<int>(options.batch_size.value_or(0));
  request.num_inference_steps = static_cast<int>(options.steps.value_or(30));
  request.guidance_scale = options.guidance_scale.value_or(7.5);
  request.guidance_rescale = options.guidance_rescale.value_or(0);
  add_steering(request, options);
  request.sampler = options.sampler.value_or("");
  request.eta = options.eta.value_or(0);
  request.schedule = schedule_choice(options);
  request.compat = options.compat.value_or("diffusers");
  request.scheduler.timestep_spacing = options.timestep_spacing;
  request.scheduler.prediction_type = options.prediction_type;
  request.scheduler.rescale_betas_zero_snr = options.rescale_betas_zero_snr;
  request.width = static_cast<int>(options.width.value_or(0));
  request.height = static_cast<int>(options.height.value_or(0));
  request.clip_skip = static_cast<int>(options.clip_skip.value_or(0));
  request.prompt_syntax = is_weighted(options) ? PromptSyntax::kWeighted : PromptSyntax::kPlain;
  request.prompt_weighting = weighting_of(options);
  request.long_prompt = long_prompt_of(options);
  request.loras = make_lora_request(options, inputs.prompt);
  request.init_image = inputs.init_image;
  request.init_latents = inputs.init_latents;
  request.mask = inputs.mask;
  request.invert_mask = options.invert_mask.value_or(false);
  request.mask_blur = options.mask_blur.value_or(0);
  request.depth = inputs.depth;
  add_control(request, options, inputs);
  request.heatmap = options.heatmap.value_or("");
  set_picture_options(options, request);
  request.class_label = options.class_label;
  request.image_guidance_scale = options.image_guidance_scale.value_or(1.5);
  request.noise_level = static_cast<int>(options.noise_level.value_or(20));
  request.use_strength = options.init_latents && options.strength;
  request.strength = options.strength;
  request.strength_mode =
      options.strength_mode == "exact" ? StrengthMode::kExact : StrengthMode::kScaled;
  request.vae_tiling = vae_tiling_of(options);
  request.low_memory = options.low_memory.value_or(false);
  return request;
}

VaeTiling vae_tiling_of(const Options& options) {
  if (options.vae_tiling == "on") return VaeTiling::kOn;
  return options.vae_tiling == "off" ? VaeTiling::kOff : VaeTiling::kAuto;
}

ExecutionRequest make_execution_request(const Options& options) {
  ExecutionRequest execution;
  execution.device = options.device.value_or("auto");
  execution.dtype = options.dtype.value_or("auto");
  execution.fast = options.fast.value_or(false);
  execution.threads = static_cast<int>(options.threads.value_or(0));
  execution.weight_cache = options.weight_cache.value_or(false);
  return execution;
}

std::uint64_t random_seed() {
  std::uint32_t seed = 0;
  if (getrandom(&seed, sizeof seed, 0) != static_cast<ssize_t>(sizeof seed)) {
    throw Error::internal(cat("no random number from the system: ", std::strerror(errno)));
  }
  return seed;
}

}  // namespace ldm::app
