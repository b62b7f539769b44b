#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ldm::app {

/// What a user asked for, by command line or config file; a field that was not given is empty.
/// Every field is named as its long option in snake_case, which is also its key in config files.
struct Options {
  std::optional<std::string> prompt;
  std::optional<std::string> negative_prompt;
  std::optional<std::string> model;
  std::optional<std::string> vae;
  std::optional<std::vector<std::string>> lora;
  std::optional<std::string> lora_dir;
  std::optional<bool> lora_partial;
  std::optional<std::vector<std::string>> embedding;
  std::optional<std::vector<std::string>> controlnet;
  std::optional<std::int64_t> class_label;
  std::optional<std::uint64_t> seed;
  std::optional<std::int64_t> num_images;
  std::optional<std::int64_t> batch_size;
  std::optional<std::string> prompt_syntax;
  std::optional<std::string> prompt_weighting;
  std::optional<std::string> long_prompt;
  std::optional<std::int64_t> width;
  std::optional<std::int64_t> height;
  std::optional<std::string> tile;
  std::optional<double> hires_scale;
  std::optional<double> hires_strength;
  std::optional<std::int64_t> hires_steps;
  std::optional<std::string> hires_upscaler;

  std::optional<std::int64_t> steps;
  std::optional<double> guidance_scale;
  std::optional<double> guidance_rescale;
  std::optional<std::string> guidance_interval;
  std::optional<double> pag_scale;
  std::optional<std::string> pag_layers;
  std::optional<double> sag_scale;
  std::optional<std::string> freeu;
  std::optional<std::int64_t> deep_cache;
  std::optional<std::string> sampler;
  std::optional<std::string> schedule;
  std::optional<double> schedule_rho;
  std::optional<std::string> sigmas;
  std::optional<std::string> timesteps;
  std::optional<std::string> compat;
  std::optional<double> eta;
  std::optional<std::string> timestep_spacing;
  std::optional<std::string> prediction_type;
  std::optional<bool> rescale_betas_zero_snr;
  std::optional<std::int64_t> clip_skip;

  std::optional<std::string> init_image;
  std::optional<double> strength;
  std::optional<std::string> strength_mode;
  std::optional<std::string> init_latents;
  std::optional<std::string> mask;
  std::optional<double> mask_blur;
  std::optional<bool> invert_mask;
  std::optional<std::string> outpaint;
  std::optional<std::string> depth;
  std::optional<std::vector<std::string>> control_image;
  std::optional<std::vector<std::string>> canny;
  std::optional<double> control_start;
  std::optional<double> control_end;
  std::optional<double> image_guidance_scale;
  std::optional<std::int64_t> noise_level;

  std::optional<std::string> output;
  std::optional<bool> overwrite;
  std::optional<std::string> metadata;
  std::optional<std::string> save_latents;
  std::optional<std::string> grid;
  std::optional<std::string> heatmap;
  std::optional<std::string> preview;
  std::optional<std::int64_t> preview_every;
  std::optional<std::string> preview_vae;

  std::optional<std::string> jobs;
  std::optional<std::string> prompts;
  std::optional<std::vector<std::string>> sweep;
  std::optional<std::string> output_dir;
  std::optional<std::string> name_template;
  std::optional<std::string> id;
  std::optional<bool> keep_going;
  std::optional<std::string> shard;
  std::optional<bool> shared;
  std::optional<std::string> time_limit;

  std::optional<std::string> device;
  std::optional<std::string> dtype;
  std::optional<bool> fast;
  std::optional<std::int64_t> threads;
  std::optional<std::string> vae_tiling;
  std::optional<bool> low_memory;
  std::optional<bool> weight_cache;

  std::optional<bool> dry_run;
  std::optional<std::string> config;
  std::optional<bool> print_config;
  std::optional<bool> json;
  std::optional<bool> quiet;
  std::optional<bool> no_progress;
  std::optional<bool> timings;

  std::optional<bool> embed;
};

}  // namespace ldm::app
