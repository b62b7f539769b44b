#include "ldm/app/check_options.h"

#include <limits>
#include <utility>

#include "ldm/app/check_controls.h"
#include "ldm/app/noise_level_options.h"
#include "ldm/app/picture_options.h"
#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm::app {
namespace {

constexpr const char* kUsualWeighting = "mean-restoring";

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
  if (options.mask_blur && !options.mask && !options.outpaint) {
    problems.push_back({"--mask-blur needs a mask", "add --mask FILE"});
  }
  if (options.lora_partial && !options.lora && !options.lora_dir) {
    problems.push_back({"--lora-partial needs a LoRA", "add --lora FILE"});
  }
  if (options.prompt_weighting.value_or(kUsualWeighting) != kUsualWeighting &&
      options.prompt_syntax != "weighted") {
    problems.push_back(
        {"--prompt-weighting needs prompts with weights", "add --prompt-syntax weighted"});
  }
  if (options.class_label && (options.prompt || options.negative_prompt)) {
    problems.push_back({"--class and --prompt exclude each other", {}});
  }
  if (options.strength && !starts_from) {
    problems.push_back({"--strength needs a picture to start from", "add --init-image FILE"});
  }
  if (options.strength_mode && !is_image_to_image(options) && !options.strength &&
      !options.hires_scale) {
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

}  // namespace

bool is_image_to_image(const Options& options) {
  return options.init_image || (options.init_latents && options.strength);
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

std::vector<Problem> check_options(const Options& options) {
  std::vector<Problem> problems = check_ranges(options);
  append(problems, check_size(options.width, options.height));
  append(problems, check_together(options));
  append(problems, check_controls(options));
  append(problems, check_picture_options(options));
  append(problems, check_noise_levels(options));
  return problems;
}

}  // namespace ldm::app
