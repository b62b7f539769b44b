#include "ldm/app/resolve.h"

#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <limits>
#include <system_error>
#include <utility>

#include "ldm/app/config_file.h"
#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm::app {
namespace {

using Side = std::optional<std::int64_t>;

/// "517x512", "width 517" or "height 517", whichever is known.
std::string size_text(const Side& width, const Side& height) {
  if (width && height) return cat(*width, "x", *height);
  return width ? cat("width ", *width) : cat("height ", *height);
}

std::string side_fault(std::string_view name, const Side& side) {
  if (!side || *side < 8 || *side % 8 == 0) return {};
  const std::int64_t below = *side / 8 * 8;
  return cat(name, " must be a multiple of 8: ", below, " or ", below + 8);
}

std::vector<Problem> check_size(const Side& width, const Side& height) {
  std::vector<std::string> faults;
  for (std::string fault : {side_fault("width", width), side_fault("height", height)}) {
    if (!fault.empty()) faults.push_back(std::move(fault));
  }
  constexpr std::int64_t kSafe = std::int64_t{1} << 31;
  if (width && height && *width > 0 && *height > 0 && *width < kSafe &&
      *height<kSafe&& * width* * height> kMaxPixels) {
    faults.push_back(cat("at most ", kMaxPixels, " pixels (8192x8192)"));
  }
  if (faults.empty()) return {};
  return {{cat(size_text(width, height), ": ", join(faults, ", ")), {}}};
}

bool is_image_to_image(const Options& options) {
  return options.init_image || (options.init_latents && options.strength);
}

bool is_device(std::string_view text) {
  if (text == "auto" || text == "cpu" || text == "cuda") return true;
  return text.starts_with("cuda:") && text.size() <= 8 && parse_unsigned(text.substr(5));
}

std::vector<Problem> check_together(const Options& options) {
  std::vector<Problem> problems;
  if (options.init_image && options.init_latents) {
    problems.push_back({"--init-image and --init-latents exclude each other", {}});
  }
  const bool starts_from = options.init_image || options.init_latents;
  if (options.mask && !options.init_image) {
    problems.push_back({"--mask needs a picture to repaint", "add --init-image FILE"});
  }
  if (options.invert_mask && !options.mask) {
    problems.push_back({"--invert-mask needs a mask", "add --mask FILE"});
  }
  if (options.lora_partial && !options.lora) {
    problems.push_back({"--lora-partial needs a LoRA", "add --lora FILE"});
  }
  if (options.class_label && (options.prompt || options.negative_prompt)) {
    problems.push_back({"--class and --prompt exclude each other", {}});
  }
  if (options.strength && !starts_from) {
    problems.push_back({"--strength needs a picture to start from", "add --init-image FILE"});
  }
  if (options.strength_mode && !is_image_to_image(options) && !options.strength) {
    problems.push_back({"--strength-mode needs a picture to start from", "add --init-image FILE"});
  }
  if (options.guidance_rescale.value_or(0) > 0 && is_image_to_image(options)) {
    problems.push_back({"--guidance-rescale works for text to image only", {}});
  }
  if (options.device && !is_device(*options.device)) {
    const std::vector<std::string> known = {"auto", "cpu", "cuda", "cuda:N"};
    problems.push_back(
        {cat("unknown device \"", *options.device, "\""), did_you_mean(*options.device, known)});
  }
  const std::int64_t images = options.num_images.value_or(1);
  if (options.seed && images > 1 &&
      *options.seed >
          std::numeric_limits<std::uint64_t>::max() - static_cast<std::uint64_t>(images - 1)) {
    problems.push_back({cat("--seed: ", *options.seed, " + ", images - 1,
                            " for the last image exceeds 18446744073709551615"),
                        {}});
  }
  return problems;
}

void append(std::vector<Problem>& to, std::vector<Problem> from) {
  std::move(from.begin(), from.end(), std::back_inserter(to));
}

Options built_in_defaults() {
  Options options;
  options.steps = 30;
  options.guidance_scale = 7.5;
  options.guidance_rescale = 0.0;
  options.num_images = 1;
  options.eta = 0.0;
  options.clip_skip = 0;
  options.prompt_syntax = "plain";
  options.long_prompt = "truncate";
  options.schedule = "default";
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

}  // namespace

std::vector<Problem> check_options(const Options& options) {
  std::vector<Problem> problems = check_ranges(options);
  append(problems, check_size(options.width, options.height));
  append(problems, check_together(options));
  return problems;
}

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
    defaults.strength_mode = "scaled";
  }
  fill_unset(options, defaults);
  fill_unset(options, built_in_defaults());
  throw_problems(check_size(options.width, options.height));
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
  request.sampler = options.sampler.value_or("");
  request.eta = options.eta.value_or(0);
  request.scheduler.timestep_spacing = options.timestep_spacing;
  request.scheduler.prediction_type = options.prediction_type;
  request.scheduler.rescale_betas_zero_snr = options.rescale_betas_zero_snr;
  request.width = static_cast<int>(options.width.value_or(0));
  request.height = static_cast<int>(options.height.value_or(0));
  request.clip_skip = static_cast<int>(options.clip_skip.value_or(0));
  request.long_prompt = options.long_prompt == "error" ? LongPrompt::kError : LongPrompt::kTruncate;
  request.init_image = inputs.init_image;
  request.init_latents = inputs.init_latents;
  request.mask = inputs.mask;
  request.invert_mask = options.invert_mask.value_or(false);
  request.depth = inputs.depth;
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
  execution.threads = static_cast<int>(options.threads.value_or(0));
  return execution;
}

LoraRequest make_lora_request(const Options& options) {
  LoraRequest request;
  request.partial = options.lora_partial.value_or(false);
  for (const std::string& text : options.lora.value_or(std::vector<std::string>())) {
    LoraChoice choice{text, 1.0};
    const std::size_t colon = text.rfind(':');
    std::error_code error;
    if (colon != std::string::npos && !std::filesystem::exists(choice.file, error)) {
      if (const auto scale = parse_real(std::string_view(text).substr(colon + 1))) {
        choice = {text.substr(0, colon), *scale};
      }
    }
    request.files.push_back(std::move(choice));
  }
  return request;
}

std::uint64_t random_seed() {
  std::uint32_t seed = 0;
  if (getrandom(&seed, sizeof seed, 0) != static_cast<ssize_t>(sizeof seed)) {
    throw Error::internal(cat("no random number from the system: ", std::strerror(errno)));
  }
  return seed;
}

}  // namespace ldm::app
