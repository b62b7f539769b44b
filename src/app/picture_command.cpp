#include <algorithm>
#include <array>
#include <optional>

#include "ldm/app/option_values.h"
#include "ldm/app/options.h"
#include "ldm/app/recorded_settings.h"
#include "ldm/app/shell_words.h"
#include "ldm/core/text.h"

namespace ldm::app {
namespace {

constexpr auto kTold = std::to_array<DecidingOption>({
    {"prompt", ""},
    {"negative_prompt", ""},
    {"class", "\n"},
    {"seed", "\n"},
    {"width", "\n"},
    {"height", "\n"},
    {"steps", "\n"},
    {"guidance_scale", "\n"},
    {"guidance_rescale", "\n"},
    {"guidance_interval", "0,1"},
    {"pag_scale", "0"},
    {"pag_layers", "\n"},
    {"sag_scale", "0"},
    {"freeu", "\n"},
    {"deep_cache", "1"},
    {"sampler", "\n"},
    {"schedule", "default"},
    {"schedule_rho", "\n"},
    {"sigmas", "\n"},
    {"timesteps", "\n"},
    {"compat", "diffusers"},
    {"eta", "0"},
    {"timestep_spacing", "\n"},
    {"prediction_type", "\n"},
    {"rescale_betas_zero_snr", "\n"},
    {"clip_skip", "0"},
    {"prompt_syntax", "plain"},
    {"prompt_weighting", "mean-restoring"},
    {"long_prompt", "truncate"},
    {"strength", "\n"},
    {"strength_mode", "scaled"},
    {"invert_mask", "false"},
    {"mask_blur", "0"},
    {"outpaint", "\n"},
    {"tile", "\n"},
    {"hires_scale", "\n"},
    {"hires_strength", "\n"},
    {"hires_steps", "\n"},
    {"hires_upscaler", "\n"},
    {"image_guidance_scale", "\n"},
    {"control_start", "0"},
    {"control_end", "1"},
    {"canny", "\n"},
    {"noise_level", "\n"},
    {"dtype", "\n"},
    {"fast", "false"},
    {"vae_tiling", "auto"},
});

constexpr std::array<RecordedFile, 4> kGiven = {{
    {"init_image_sha256", "--init-image", "INIT_IMAGE"},
    {"mask_sha256", "--mask", "MASK"},
    {"depth_sha256", "--depth", "DEPTH"},
    {"init_latents_sha256", "--init-latents", "INIT_LATENTS"},
}};

/// Whether ldm-gen accepts that value.
bool is_legal(const OptionSpec& spec, const std::string& value) {
  Options options;
  return !set_from_text(spec, value, options) && check_ranges(options).empty();
}

/// The items of a list, as the settings join them.
std::vector<std::string> items_of(const std::string& list) {
  std::vector<std::string> items;
  for (std::size_t begin = 0; begin <= list.size();) {
    const std::size_t end = std::min(list.find(", ", begin), list.size());
    items.push_back(list.substr(begin, end - begin));
    begin = end + 2;
  }
  return items;
}

void add_options(std::span<const Setting> settings, std::vector<std::string>& words,
                 PictureCommand& out) {
  for (const DecidingOption& told : kTold) {
    const std::string* value = find_setting(settings, told.key);
    const OptionSpec* spec = find_option(told.key);
    if (value == nullptr || spec == nullptr || *value == told.neutral) continue;
    if (!is_legal(*spec, *value)) {
      out.notes.push_back(cat(long_flag(*spec), " is left out: ldm-gen does not know \"",
                              escape_control(value->substr(0, 80)), "\""));
    } else if (spec->is_switch()) {
      words.push_back(long_flag(*spec) + (*value == "true" ? "" : "=false"));
    } else if (told.key == "prompt" && *value == "-") {
      out.line = "printf %s - | ";
      words.insert(words.end(), {"--prompt", "-"});
    } else if (spec->is_list()) {
      for (const std::string& item : items_of(*value)) {
        words.insert(words.end(), {long_flag(*spec), item});
      }
    } else {
      words.insert(words.end(), {long_flag(*spec), *value});
    }
  }
}

void add_model(std::span<const Setting> settings, std::vector<std::string>& words,
               PictureCommand& out) {
  const std::string* model = find_setting(settings, "model");
  // The model that comes with ldm-gen is used when none is named.
  if (model == nullptr || *model == "default" || model->empty()) return;
  const bool in_cache = find_setting(settings, "family") != nullptr &&
                        model->find('/') != std::string::npos && model->front() != '/';
  words.insert(words.end(), {"--model", in_cache ? *model : "MODEL"});
  if (!in_cache) out.notes.push_back(cat("MODEL: where \"", escape_control(*model), "\" is"));
}

void add_files(std::span<const Setting> settings, std::vector<std::string>& words,
               PictureCommand& out) {
  for (const RecordedFile& given : kGiven) {
    const std::string* hash = find_setting(settings, given.hash);
    if (hash == nullptr) continue;
    words.insert(words.end(), {std::string(given.flag), std::string(given.placeholder)});
    out.notes.push_back(cat(given.placeholder, ": the file with SHA-256 ", escape_control(*hash)));
  }
  if (const std::string* vae = find_setting(settings, "vae")) {
    words.insert(words.end(), {"--vae", "VAE"});
    out.notes.push_back(cat("VAE: where \"", escape_control(*vae), "\" is"));
  }
  if (const std::string* learned = find_setting(settings, "embedding")) {
    out.notes.push_back(
        cat("and an --embedding FILE:WORD for each of: ", escape_control(*learned)));
  }
  if (const std::string* lora = find_setting(settings, "lora")) {
    out.notes.push_back(cat("and a --lora FILE:SCALE for each of: ", escape_control(*lora)));
  }
  if (const std::string* nets = find_setting(settings, "controlnet")) {
    out.notes.push_back(cat("and a --controlnet PATH:SCALE for each of: ", escape_control(*nets)));
  }
  if (const std::string* pictures = find_setting(settings, "control_image_sha256")) {
    out.notes.push_back(
        cat("and a --control-image FILE for each SHA-256 of: ", escape_control(*pictures)));
  }
}

}  // namespace

std::span<const DecidingOption> deciding_options() { return kTold; }

std::span<const RecordedFile> recorded_files() { return kGiven; }

PictureCommand picture_command(std::span<const Setting> settings) {
  PictureCommand out;
  const bool told =
      find_setting(settings, "seed") != nullptr &&
      (find_setting(settings, "steps") != nullptr || find_setting(settings, "sampler") != nullptr);
  if (!told) return out;
  std::vector<std::string> words = {"ldm-gen"};
  add_model(settings, words, out);
  add_options(settings, words, out);
  add_files(settings, words, out);
  out.line += shell_command(words);
  return out;
}

}  // namespace ldm::app
