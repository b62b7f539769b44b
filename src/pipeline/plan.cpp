#include "ldm/pipeline/plan.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/loading/components.h"
#include "ldm/pipeline/control.h"
#include "ldm/pipeline/cost.h"
#include "ldm/pipeline/heatmap.h"
#include "ldm/pipeline/out_of_memory.h"
#include "ldm/pipeline/planned_scheduler.h"
#include "ldm/pipeline/prompt_plan.h"
#include "ldm/pipeline/repainting.h"
#include "ldm/pipeline/second_pass.h"
#include "ldm/pipeline/steering.h"
#include "ldm/schedulers/scheduler.h"

namespace ldm {
namespace {

/// Collects everything wrong with a request, to be said at once.
class Faults {
 public:
  template <typename... Args>
  void add(const Args&... args) {
    texts_.push_back(cat(args...));
  }
  bool any() const { return !texts_.empty(); }
  void throw_if_any() const {
    if (any()) throw Error::usage(join(texts_, "; "));
  }

 private:
  std::vector<std::string> texts_;
};

std::int64_t model_side(const Components& c) {
  const std::int64_t latents = c.unet.bare().shape().sample_size;
  const models::AutoencoderShape vae = c.vae.bare().shape();
  return latents > 0 ? latents * vae.downsampling : vae.sample_size;
}

/// Pixels a side must be a multiple of: 8 as in the reference, more for deeper autoencoders.
std::int64_t side_unit(const Components& c) {
  return std::max<std::int64_t>(8, c.vae.bare().shape().downsampling);
}

int resolve_side(int asked, int image, std::int64_t latents, const Components& c) {
  const std::int64_t downsampling = c.vae.bare().shape().downsampling;
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

void resolve_size(Request& request, ImageCondition condition, const Components& c, Faults& faults) {
  // A size that is asked for follows the reference's rule; one that a picture brings only has to
  // have whole latents.
  const std::int64_t whole = c.vae.bare().shape().downsampling;
  const std::int64_t width_unit = request.width != 0 ? side_unit(c) : whole;
  const std::int64_t height_unit = request.height != 0 ? side_unit(c) : whole;
  const bool latents = request.init_latents && request.init_latents->shape.size() == 4;
  // The upscaler's latents are as large as the picture that it is given.
  const int scale = condition == ImageCondition::kLowResImage ? static_cast<int>(whole) : 1;
  const int image_width = request.init_image ? scale * request.init_image->width : 0;
  const int image_height = request.init_image ? scale * request.init_image->height : 0;
  request.width =
      resolve_side(request.width, image_width, latents ? request.init_latents->shape[3] : 0, c);
  request.height =
      resolve_side(request.height, image_height, latents ? request.init_latents->shape[2] : 0, c);
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

void check_hires(const HiresPass& hires, Faults& faults) {
  if (!(hires.scale >= 1)) faults.add("hires_scale must be 1 or more");
  if (!(hires.strength >= 0 && hires.strength <= 1)) {
    faults.add("hires_strength must be within 0…1");
  }
  if (hires.steps < 0) faults.add("hires_steps must not be negative");
}

void check_numbers(const Request& request, Faults& faults) {
  if (request.num_images < 1) faults.add("the number of images must be at least 1");
  if (request.batch_size < 0) faults.add("the batch size must not be negative");
  if (!std::isfinite(request.guidance_scale)) faults.add("guidance_scale must be finite");
  if (!std::isfinite(request.eta) || request.eta < 0) faults.add("eta must be 0 or more");
  if (!(request.guidance_rescale >= 0 && request.guidance_rescale <= 1)) {
    faults.add("guidance_rescale must be within 0…1");
  }
  if (!(request.strength.value_or(0) >= 0 && request.strength.value_or(0) <= 1)) {
    faults.add("strength must be within 0…1");
  }
  if (!(request.mask_blur >= 0)) faults.add("mask_blur must be 0 or more");
  if (request.hires) check_hires(*request.hires, faults);
  if (request.tile.any() && request.vae_tiling == VaeTiling::kOn) {
    faults.add("a seamless picture cannot be decoded in tiles");
  }
  if (!std::isfinite(request.image_guidance_scale)) {
    faults.add("image_guidance_scale must be finite");
  }
}

/// What the model needs and the request lacks, and the other way round.
void check_condition(const Request& request, ImageCondition condition, const Components& c,
                     Faults& faults) {
  const bool masked = condition == ImageCondition::kMaskedImage;
  const bool depth = condition == ImageCondition::kDepth;
  if (masked && (!(request.mask || request.outpaint) || !request.init_image)) {
    faults.add("this inpainting model needs --init-image and --mask");
  }
  if (condition == ImageCondition::kImage && !request.init_image) {
    faults.add("this model edits a picture: it needs --init-image");
  }
  if (condition == ImageCondition::kLowResImage && !request.init_image) {
    faults.add("this upscaler needs --init-image, the small picture");
  }
  if (depth && !request.depth) faults.add("this model needs --depth, a picture of the depth");
  const bool repaints = request.mask || request.outpaint;
  if (repaints && !masked && condition != ImageCondition::kNone) {
    faults.add("--mask needs an ordinary or an inpainting model, this one reads another picture");
  }
  if (repaints && !request.init_image) faults.add("--mask and --outpaint need --init-image");
  const bool starts = request.init_image || request.use_strength;
  if (request.hires && (starts || condition != ImageCondition::kNone)) {
    faults.add("--hires-scale works for text to image only");
  }
  if (request.depth && !depth) faults.add("--depth needs a depth-to-image model (5 channels)");
  if (condition == ImageCondition::kLowResImage) {
    const std::int64_t levels = c.unet.bare().shape().num_classes;
    if (request.noise_level < 0 || request.noise_level >= levels) {
      faults.add("noise_level ", request.noise_level, " is not within 0…", levels - 1);
    }
  }
}

/// A class model has an embedding and no tokenizer.
bool takes_class(const Components& c) { return c.text_encoder && !c.tokenizer; }

void check_prompt_kind(const Request& request, const Components& c, Faults& faults) {
  const bool any_text = !request.prompt.empty() || !request.negative_prompt.empty();
  if (!c.tokenizer && any_text) {
    faults.add(takes_class(c) ? "this model draws classes: use --class N in place of a prompt"
                              : "this model takes no prompt: it draws what it was trained on");
  }
  if (takes_class(c) && !request.class_label) faults.add("this model needs --class N");
  if (!takes_class(c) && request.class_label) {
    faults.add("--class needs a class-conditional model");
  }
  if (!takes_class(c) || !request.class_label) return;
  const std::int64_t classes = c.text_encoder->bare().vocabulary();
  if (*request.class_label < 0 || *request.class_label >= classes) {
    faults.add("class ", *request.class_label, " is not within 0…", classes - 1);
  }
}

/// Predictions a step: without guidance one, with it two, three where a picture guides too.
int count_branches(const Request& request, ImageCondition condition, const Components& c) {
  if (!c.text_encoder || request.guidance_scale <= 1.0) return 1;
  if (takes_class(c) && !c.text_encoder->bare().null_id()) return 1;
  if (condition != ImageCondition::kImage) return 2;
  return request.image_guidance_scale >= 1.0 ? 3 : 1;
}

/// Whether the latents start from a picture (or clean latents) rather than from noise.
bool starts_from_image(const Request& request, ImageCondition condition) {
  if (request.init_latents) return request.use_strength;
  switch (condition) {
    case ImageCondition::kImage:
    case ImageCondition::kLowResImage:
      return false;
    default:
      if (request.mask) return request.strength.value_or(1.0) < 1.0;
      return request.init_image != nullptr;
  }
}

/// Where the word of a heat map stands in the prompt. Throws Error::usage where it does not.
void find_heatmap_word(Plan& plan, const Components& c) {
  const std::string& word = plan.request.heatmap;
  if (word.empty()) return;
  if (!c.tokenizer) throw Error::usage("--heatmap needs a model that reads a prompt");
  const PromptTimeline& prompt = plan.prompts.front();
  if (plan.prompts.size() > 1 || prompt.texts.size() > 1) {
    throw Error::usage("--heatmap needs one prompt that stays the same",
                       "leave out AND and what changes over the steps");
  }
  const PromptTokens tokens = c.prompts->read_plain(word, LongPrompt::kError);
  const auto first = tokens.ids.begin() + 1;  // behind the beginning's own token
  plan.heatmap_tokens = positions_of(
      {first, first + static_cast<std::ptrdiff_t>(tokens.token_count)}, prompt.texts.front().ids);
  if (plan.heatmap_tokens.empty()) {
    throw Error::usage(cat("--heatmap: the prompt has no \"", word, "\""),
                       "ldm-gen tokens shows what it is made of");
  }
}

/// Throws Error::usage where prompts are joined and guidance is not as they need it.
void check_joined_prompts(const Plan& plan) {
  const Request& request = plan.request;
  const bool whole = request.guidance_start == 0 && request.guidance_end == 1;
  if (plan.prompts.size() == 1 || (whole && !plan.perturbed())) return;
  throw Error::usage("AND joins prompts by their guidance over the whole run",
                     "leave out AND, or --guidance-interval and --pag-scale");
}

/// The sampler's steps and the text of each, into a plan that says where they start.
void plan_steps(const Components& c, Plan& plan) {
  const PlannedScheduler planned = make_planned_scheduler(c, plan);
  plan.request.sampler = planned.row->name;
  plan.scheduler_class = planned.row->public_name();
  const auto& timesteps = planned.scheduler->timesteps();
  const auto& sigmas = planned.scheduler->sigmas();
  plan.timesteps.assign(timesteps.begin() + planned.begin, timesteps.end());
  plan.sigmas.assign(sigmas.begin() + planned.begin, sigmas.end());
  plan.steps = static_cast<int>(plan.timesteps.size());
  plan_prompts(plan, c, planned);
}

}  // namespace

bool Plan::guides_at(int k) const {
  return k >= static_cast<int>(request.guidance_start * steps) &&
         k < static_cast<int>(request.guidance_end * steps);
}

int Plan::predictions_at(int k) const {
  return (guides_at(k) ? branches : 1) + (perturbed() ? 1 : 0) + (self_guided() ? 1 : 0);
}

double Plan::predictions() const {
  double count = 0;
  for (int k = 0; k < steps; ++k) count += predictions_at(k);
  return count;
}

ImageCondition image_condition(const Components& c) {
  const models::DenoiserShape unet = c.unet.bare().shape();
  const std::int64_t latents = c.vae.bare().shape().latent_channels;
  const std::int64_t extra = unet.in_channels - latents;
  if (extra == 0) return ImageCondition::kNone;
  if (extra == 1) return ImageCondition::kDepth;
  if (extra == latents + 1) return ImageCondition::kMaskedImage;
  if (extra == 3 && unet.num_classes > 0) return ImageCondition::kLowResImage;
  if (extra == latents) return ImageCondition::kImage;
  throw Error::model(cat(c.files.path.string(), ": the UNet reads ", unet.in_channels,
                         " channels for ", latents, " latent channels, as no known model does"));
}

int default_batch_size(const Components& c) {
  return c.execution.device.is_cuda() ? images_that_fit(c, free_bytes(c.execution)) : 1;
}

Plan make_plan(const Components& c, const Request& request) {
  Plan plan;
  plan.request = request;
  plan.condition = image_condition(c);
  Request& resolved = plan.request;
  Faults faults;
  check_numbers(resolved, faults);
  check_condition(resolved, plan.condition, c, faults);
  check_prompt_kind(resolved, c, faults);
  for (const std::string& fault : steering_faults(resolved, c)) faults.add(fault);
  for (const std::string& fault : control_faults(resolved, c)) faults.add(fault);
  if (!faults.any()) grow_canvas(resolved, static_cast<int>(c.vae.bare().shape().downsampling));
  resolve_size(resolved, plan.condition, c, faults);
  const models::AutoencoderShape vae = c.vae.bare().shape();
  plan.latent_shape = {vae.latent_channels, resolved.height / vae.downsampling,
                       resolved.width / vae.downsampling};
  check_init_latents(resolved, plan, faults);
  faults.throw_if_any();

  plan.image_to_image = starts_from_image(resolved, plan.condition);
  if (!resolved.strength) resolved.strength = resolved.mask ? 1.0 : 0.8;
  prepare_repainting(plan);
  plan.branches = count_branches(resolved, plan.condition, c);
  plan_steps(c, plan);
  plan.loras = c.match(resolved.loras);
  if (resolved.batch_size == 0) resolved.batch_size = default_batch_size(c);
  resolved.batch_size = std::min(resolved.batch_size, resolved.num_images);
  check_joined_prompts(plan);
  find_heatmap_word(plan, c);
  if (resolved.hires) {
    Plan second = second_pass_of(plan, vae.downsampling);
    plan_steps(c, second);
    plan.second_pass = std::make_shared<Plan>(std::move(second));
  }
  plan.memory_bytes = estimate_memory(c, plan);
  return plan;
}

}  // namespace ldm
