#include "ldm/pipeline/plan.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/loading/components.h"
#include "ldm/pipeline/cost.h"
#include "ldm/schedulers/scheduler.h"

namespace ldm {
namespace {

constexpr std::int64_t kMostPixels = 64LL << 20;

/// Collects everything wrong with a request, to be said at once.
class Faults {
 public:
  template <typename... Args>
  void add(const Args&... args) {
    texts_.push_back(cat(args...));
  }
  void throw_if_any() const {
    if (!texts_.empty()) throw Error::usage(join(texts_, "; "));
  }

 private:
  std::vector<std::string> texts_;
};

/// The UNet sees more than the noisy latents: what it needs is not offered yet.
void check_plain_unet(const Components& c) {
  const auto& unet = c.unet.bare()->config;
  const auto latents = c.vae.bare()->config.latent_channels;
  if (unet.in_channels == latents && !unet.num_class_embeds) return;
  throw Error::usage(
      cat("this model is conditioned on more than text: its UNet reads ", unet.in_channels,
          " channels", unet.num_class_embeds ? " and a class or noise level" : ""),
      "use a text-to-image model (4 channels)");
}

std::int64_t model_side(const Components& c) {
  const auto& unet = c.unet.bare()->config;
  const auto& vae = c.vae.bare()->config;
  return unet.sample_size ? unet.sample_size->at(0) * vae.downsampling() : vae.sample_size;
}

/// Pixels a side must be a multiple of: 8 as in the reference, more for deeper autoencoders.
std::int64_t side_unit(const Components& c) {
  return std::max<std::int64_t>(8, c.vae.bare()->config.downsampling());
}

int resolve_side(int asked, int image, std::int64_t latents, const Components& c) {
  const std::int64_t downsampling = c.vae.bare()->config.downsampling();
  if (asked != 0) return asked;
  if (latents > 0) return static_cast<int>(latents * downsampling);
  if (image > 0) return static_cast<int>(std::max(downsampling, image - image % downsampling));
  return static_cast<int>(model_side(c));
}

void check_side(Faults& faults, const char* name, int side, std::int64_t unit) {
  if (side > 0 && side % unit == 0) return;
  const std::int64_t below = std::max<std::int64_t>(unit, side - side % unit);
  faults.add(name, " ", side, " is not a positive multiple of ", unit, ": ", below, " or ",
             side <= 0 ? below + unit : side - side % unit + unit);
}

void resolve_size(Request& request, const Components& c, Faults& faults) {
  // A size that is asked for follows the reference's rule; one that a picture brings only has to
  // have whole latents.
  const std::int64_t whole = c.vae.bare()->config.downsampling();
  const std::int64_t width_unit = request.width != 0 ? side_unit(c) : whole;
  const std::int64_t height_unit = request.height != 0 ? side_unit(c) : whole;
  const bool latents = request.init_latents && request.init_latents->shape.size() == 4;
  const Image empty;
  const Image& image = request.init_image ? *request.init_image : empty;
  request.width =
      resolve_side(request.width, image.width, latents ? request.init_latents->shape[3] : 0, c);
  request.height =
      resolve_side(request.height, image.height, latents ? request.init_latents->shape[2] : 0, c);
  check_side(faults, "width", request.width, width_unit);
  check_side(faults, "height", request.height, height_unit);
  if (std::int64_t{request.width} * request.height > kMostPixels) {
    faults.add(request.width, "x", request.height, " is more than 64 megapixels");
  }
}

void check_init_latents(const Request& request, const Plan& plan, Faults& faults) {
  if (!request.init_latents) return;
  const auto& shape = request.init_latents->shape;
  const auto& expected = plan.latent_shape;
  const bool same =
      shape.size() == 4 && std::equal(expected.begin(), expected.end(), shape.begin() + 1);
  if (!same) {
    std::vector<std::string> dims;
    for (const std::int64_t dim : shape) dims.push_back(std::to_string(dim));
    faults.add("init latents are [", join(dims, ", "), "], this request needs [N, ", expected[0],
               ", ", expected[1], ", ", expected[2], "]");
  } else if (shape[0] != 1 && shape[0] < request.num_images) {
    faults.add("init latents hold ", shape[0], " images, ", request.num_images, " are asked for");
  }
}

void check_numbers(const Request& request, Faults& faults) {
  if (request.num_images < 1) faults.add("the number of images must be at least 1");
  if (request.batch_size < 0) faults.add("the batch size must not be negative");
  if (!std::isfinite(request.guidance_scale)) faults.add("guidance_scale must be finite");
  if (!std::isfinite(request.eta) || request.eta < 0) faults.add("eta must be 0 or more");
  if (!(request.guidance_rescale >= 0 && request.guidance_rescale <= 1)) {
    faults.add("guidance_rescale must be within 0…1");
  }
  if (!(request.strength >= 0 && request.strength <= 1)) faults.add("strength must be within 0…1");
}

PromptTokens tokenize(const Components& c, const std::string& prompt, LongPrompt policy) {
  const Encoding encoding = c.tokenizer.encode(prompt);
  PromptTokens tokens{encoding.ids, encoding.token_count, encoding.cut_text};
  if (policy == LongPrompt::kError && !tokens.cut_text.empty()) {
    throw Error::input(
        cat("the prompt has ", tokens.token_count, " tokens, ", c.tokenizer.max_length() - 2,
            " fit; beyond them: \"", tokens.cut_text, "\""),
        "shorten it, or use --long-prompt truncate");
  }
  return tokens;
}

/// Planned steps such that `strength` of them are the steps asked for.
int planned_steps(const Request& request, int num_train_timesteps) {
  const int steps = request.num_inference_steps;
  if (!request.is_image_to_image() || request.strength_mode == StrengthMode::kScaled) return steps;
  for (int planned = steps; planned <= num_train_timesteps; ++planned) {
    if (static_cast<int>(planned * request.strength) >= steps) return planned;
  }
  throw Error::usage(cat("strength ", request.strength, " cannot run ", steps,
                         " steps out of at most ", num_train_timesteps),
                     "raise --strength or lower --steps");
}

/// Index into timesteps at which img2img starts (diffusers' `get_timesteps`).
int begin_index(const Request& request, int planned, const Scheduler& scheduler) {
  if (!request.is_image_to_image()) return 0;
  const int kept = std::min(static_cast<int>(planned * request.strength), planned);
  return kept == 0 ? static_cast<int>(scheduler.timesteps().size())
                   : (planned - kept) * scheduler.order();
}

}  // namespace

PlannedScheduler make_planned_scheduler(const Components& c, const Request& request) {
  const SamplerEntry& row =
      request.sampler.empty() ? c.default_sampler() : find_sampler(request.sampler);
  SchedulerConfig config = c.scheduler_config(row);
  // The public pipelines force these two on whatever the model's file says.
  config.steps_offset = 1;
  config.clip_sample = false;
  // PNDM cannot start inside its Runge-Kutta steps; the public class does, at a wrong noise level.
  if (request.is_image_to_image()) config.skip_prk_steps = true;
  const SchedulerOverrides& over = request.scheduler;
  if (over.timestep_spacing) config.timestep_spacing = *over.timestep_spacing;
  if (over.prediction_type) config.prediction_type = *over.prediction_type;
  if (over.rescale_betas_zero_snr) config.rescale_betas_zero_snr = *over.rescale_betas_zero_snr;
  PlannedScheduler planned;
  planned.row = &row;
  planned.scheduler = row.make(config, SamplerOptions{request.eta});
  planned.num_inference_steps = planned_steps(request, config.num_train_timesteps);
  planned.scheduler->set_timesteps(planned.num_inference_steps);
  planned.begin = begin_index(request, planned.num_inference_steps, *planned.scheduler);
  return planned;
}

Plan make_plan(const Components& c, const Request& request) {
  check_plain_unet(c);
  Plan plan;
  plan.request = request;
  Request& resolved = plan.request;
  Faults faults;
  check_numbers(resolved, faults);
  resolve_size(resolved, c, faults);
  const auto& vae = c.vae.bare()->config;
  plan.latent_shape = {vae.latent_channels, resolved.height / vae.downsampling(),
                       resolved.width / vae.downsampling()};
  check_init_latents(resolved, plan, faults);
  faults.throw_if_any();

  const PlannedScheduler planned = make_planned_scheduler(c, resolved);
  resolved.sampler = planned.row->name;
  plan.scheduler_class = planned.row->diffusers_class;
  const auto& timesteps = planned.scheduler->timesteps();
  const auto& sigmas = planned.scheduler->sigmas();
  plan.timesteps.assign(timesteps.begin() + planned.begin, timesteps.end());
  plan.sigmas.assign(sigmas.begin() + planned.begin, sigmas.end());
  plan.steps = static_cast<int>(plan.timesteps.size());
  plan.guided = resolved.guidance_scale > 1.0;
  if (resolved.batch_size == 0) resolved.batch_size = c.execution.device.is_cuda() ? 4 : 1;
  resolved.batch_size = std::min(resolved.batch_size, resolved.num_images);
  plan.prompt = tokenize(c, resolved.prompt, resolved.long_prompt);
  plan.negative_prompt = tokenize(c, resolved.negative_prompt, resolved.long_prompt);
  plan.memory_bytes = estimate_memory(c, plan);
  return plan;
}

}  // namespace ldm
