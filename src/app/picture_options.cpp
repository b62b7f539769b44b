#include "ldm/app/picture_options.h"

#include <array>

#include "ldm/app/check_options.h"
#include "ldm/core/text.h"

namespace ldm::app {
namespace {

constexpr std::int64_t kMostMargin = 8192;

std::string_view tile_word(const SeamlessSides& tile) {
  if (tile.x && tile.y) return "xy";
  return tile.x ? "x" : "y";
}

}  // namespace

std::optional<Margins> parse_margins(std::string_view text) {
  std::array<std::int64_t, 4> sides{};
  for (std::size_t i = 0; i < sides.size(); ++i) {
    const bool last = i + 1 == sides.size();
    const std::size_t end = last ? text.size() : text.find(',');
    if (end == std::string_view::npos) return std::nullopt;
    const std::optional<std::int64_t> side = parse_integer(text.substr(0, end));
    if (!side || *side < 0 || *side > kMostMargin) return std::nullopt;
    sides[i] = *side;
    text.remove_prefix(last ? end : end + 1);
  }
  if (sides == std::array<std::int64_t, 4>{}) return std::nullopt;
  return Margins{static_cast<int>(sides[0]), static_cast<int>(sides[1]), static_cast<int>(sides[2]),
                 static_cast<int>(sides[3])};
}

std::vector<Problem> check_picture_options(const Options& options) {
  std::vector<Problem> problems;
  if (options.outpaint && !parse_margins(*options.outpaint)) {
    problems.push_back({cat("--outpaint: \"", *options.outpaint,
                            "\" is not LEFT,TOP,RIGHT,BOTTOM in pixels 0…8192, one of them over 0"),
                        "e.g. --outpaint 0,0,64,64"});
  }
  if (options.outpaint && !options.init_image) {
    problems.push_back({"--outpaint needs a picture to go on from", "add --init-image FILE"});
  }
  const bool second = options.hires_scale.has_value();
  if (!second && (options.hires_strength || options.hires_steps || options.hires_upscaler)) {
    const char* flag = options.hires_strength ? "--hires-strength"
                       : options.hires_steps  ? "--hires-steps"
                                              : "--hires-upscaler";
    problems.push_back({cat(flag, " needs a second pass"), "add --hires-scale 2"});
  }
  if (second && (options.init_image || is_image_to_image(options))) {
    problems.push_back({"--hires-scale works for text to image only", {}});
  }
  if (options.tile && options.vae_tiling == "on") {
    problems.push_back(
        {"--tile and --vae-tiling on exclude each other: tiles would show seams", {}});
  }
  return problems;
}

void set_picture_options(const Options& options, Request& request) {
  if (options.outpaint) request.outpaint = parse_margins(*options.outpaint);
  if (options.hires_scale) {
    HiresPass& hires = request.hires.emplace();
    hires.scale = *options.hires_scale;
    hires.strength = options.hires_strength.value_or(hires.strength);
    hires.steps = static_cast<int>(options.hires_steps.value_or(0));
    hires.by_image = options.hires_upscaler == "image";
  }
  const std::string tile = options.tile.value_or("");
  request.tile = {tile.starts_with('x'), tile.ends_with('y')};
}

nlohmann::ordered_json picture_options_json(const Request& request) {
  nlohmann::ordered_json out = nlohmann::ordered_json::object();
  if (request.outpaint) {
    const Margins& m = *request.outpaint;
    out["outpaint"] = cat(m.left, ",", m.top, ",", m.right, ",", m.bottom);
  }
  if (request.hires) {
    const HiresPass& hires = *request.hires;
    out["hires_scale"] = hires.scale;
    out["hires_strength"] = hires.strength;
    if (hires.steps > 0) out["hires_steps"] = hires.steps;
    out["hires_upscaler"] = hires.by_image ? "image" : "latent";
  }
  if (request.tile.any()) out["tile"] = tile_word(request.tile);
  return out;
}

std::string picture_options_text(const Plan& plan) {
  const Request& request = plan.request;
  std::string out;
  if (request.mask_blur > 0) out += ", Mask blur: " + number_text(request.mask_blur);
  if (request.hires) {
    const HiresPass& hires = *request.hires;
    out += ", Denoising strength: " + number_text(hires.strength);
    out += ", Hires upscale: " + number_text(hires.scale);
    const int steps = plan.second_pass->request.num_inference_steps;
    const bool all = request.strength_mode == StrengthMode::kExact;
    out += cat(", Hires steps: ", all ? steps : static_cast<int>(steps * hires.strength));
    out += cat(", Hires upscaler: ", hires.by_image ? "Lanczos" : "Latent");
  }
  if (request.tile.x && request.tile.y) out += ", Tiling: True";
  return out;
}

}  // namespace ldm::app
