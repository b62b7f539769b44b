#include "ldm/app/metadata.h"

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "ldm/app/noise_level_options.h"
#include "ldm/app/option_values.h"
#include "ldm/app/picture_options.h"
#include "ldm/app/resolve.h"
#include "ldm/core/device.h"
#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/core/version.h"
#include "ldm/io/file.h"
#include "ldm/io/hash.h"
#include "ldm/io/json.h"

namespace ldm::app {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kSettingsKey = "ldm-gen";

/// The name other tools know a sampler by.
std::string a1111_sampler(const std::string& name) {
  constexpr auto kNames = std::to_array<std::pair<std::string_view, std::string_view>>({
      {"ddim", "DDIM"},
      {"ddpm", "DDPM"},
      {"pndm", "PLMS"},
      {"euler", "Euler"},
      {"euler-a", "Euler a"},
      {"heun", "Heun"},
      {"dpm2", "DPM2"},
      {"dpm2-a", "DPM2 a"},
      {"lms", "LMS"},
      {"dpmpp-2m", "DPM++ 2M"},
      {"dpmpp-2s-a", "DPM++ 2S a"},
      {"dpmpp-sde", "DPM++ SDE"},
      {"dpmpp-2m-sde", "DPM++ 2M SDE"},
      {"dpmpp-3m-sde", "DPM++ 3M SDE"},
      {"unipc", "UniPC"},
      {"deis", "DEIS"},
      {"ipndm", "IPNDM"},
      {"lcm", "LCM"},
      {"tcd", "TCD"},
      {"restart", "Restart"},
  });
  for (const auto& [ours, theirs] : kNames) {
    if (ours == name) return std::string(theirs);
  }
  return name;
}

/// The name other tools know a schedule by; empty for the model's own.
std::string a1111_schedule(const std::string& name) {
  constexpr auto kNames = std::to_array<std::pair<std::string_view, std::string_view>>({
      {"karras", "Karras"},
      {"exponential", "Exponential"},
      {"polyexponential", "Polyexponential"},
      {"beta", "Beta"},
      {"sgm-uniform", "SGM Uniform"},
      {"ays", "Align Your Steps"},
  });
  for (const auto& [ours, theirs] : kNames) {
    if (ours == name) return std::string(theirs);
  }
  return {};
}

void add_schedule(Json& out, const ScheduleChoice& schedule) {
  if (schedule.name != "default") out["schedule"] = schedule.name;
  if (schedule.rho) out["schedule_rho"] = *schedule.rho;
  if (!schedule.sigmas.empty()) out["sigmas"] = list_text(schedule.sigmas);
  if (!schedule.timesteps.empty()) out["timesteps"] = list_text(schedule.timesteps);
}

/// A value of the parameters line: quoted as JSON when it holds the line's own punctuation.
std::string quoted(const std::string& value) {
  return value.find_first_of(",:\n\"") == std::string::npos ? value : Json(value).dump();
}

void add_overrides(Json& out, const SchedulerOverrides& scheduler) {
  if (scheduler.timestep_spacing) out["timestep_spacing"] = *scheduler.timestep_spacing;
  if (scheduler.prediction_type) out["prediction_type"] = *scheduler.prediction_type;
  if (scheduler.rescale_betas_zero_snr) {
    out["rescale_betas_zero_snr"] = *scheduler.rescale_betas_zero_snr;
  }
}

std::string numbers_text(std::initializer_list<double> numbers) {
  std::vector<std::string> words;
  for (const double number : numbers) words.push_back(number_text(number));
  return join(words, ",");
}

/// Guidance beside its scale, where it is not as usual.
void add_steering(Json& out, const Request& request) {
  if (request.guidance_start > 0 || request.guidance_end < 1) {
    out["guidance_interval"] = numbers_text({request.guidance_start, request.guidance_end});
  }
  if (request.pag_scale > 0) {
    out["pag_scale"] = request.pag_scale;
    out["pag_layers"] = request.pag_layers;
  }
  if (request.freeu) {
    const FreeUFactors& f = *request.freeu;
    out["freeu"] = numbers_text({f.b1, f.b2, f.s1, f.s2});
  }
  if (request.sag_scale > 0) out["sag_scale"] = request.sag_scale;
  if (request.deep_cache > 1) out["deep_cache"] = request.deep_cache;
}

/// When and how ControlNets follow their pictures.
void add_control(Json& out, const Request& request) {
  if (request.control_images.empty()) return;
  out["control_start"] = request.control_start;
  out["control_end"] = request.control_end;
  bool any = false;
  Json canny = Json::array();
  for (const ControlImage& control : request.control_images) {
    any = any || control.canny.has_value();
    canny.push_back(control.canny ? numbers_text({control.canny->low, control.canny->high})
                                  : "off");
  }
  if (any) out["canny"] = canny;
}

void add_prompt_settings(Json& out, const Request& request) {
  if (request.prompt_syntax == PromptSyntax::kWeighted) {
    out["prompt_syntax"] = "weighted";
    out["prompt_weighting"] = weighting_word(request.prompt_weighting);
  }
  out["long_prompt"] = long_prompt_word(request.long_prompt);
}

/// How prompts are read, in the words of AUTOMATIC1111 where it has one.
std::string prompt_parameters(const Request& request) {
  std::string out;
  if (request.prompt_syntax == PromptSyntax::kWeighted) {
    out += ", Prompt syntax: weighted";
    if (request.prompt_weighting == PromptWeighting::kPlain) out += ", Emphasis: No norm";
    if (request.prompt_weighting == PromptWeighting::kComfyUI) {
      out += ", Prompt weighting: comfyui";
    }
  }
  if (request.long_prompt == LongPrompt::kChunk) out += ", Long prompt: chunk";
  return out;
}

std::string stem_of(const std::string& file) { return file.substr(0, file.rfind('.')); }

/// LoRAs and textual inversions in the words of AUTOMATIC1111: 12 digits of their hashes.
std::string addition_parameters(const RunFacts& facts) {
  constexpr std::size_t kDigits = 12;
  std::vector<std::string> scales;
  std::vector<std::string> loras;
  std::vector<std::string> embeddings;
  for (const LoraUse& lora : facts.plan.loras) {
    if (!lora.from_prompt) scales.push_back(cat(lora.name, ": ", number_text(lora.scale)));
    loras.push_back(cat(stem_of(lora.name), ": ", lora.data_sha256.substr(0, kDigits)));
  }
  for (const EmbeddingUse& one : facts.embeddings) {
    embeddings.push_back(cat(one.word, ": ", one.sha256.substr(0, kDigits)));
  }
  std::string out;
  if (!scales.empty()) out += ", Lora: " + quoted(join(scales, ", "));
  if (!loras.empty()) out += ", Lora hashes: " + quoted(join(loras, ", "));
  if (!embeddings.empty()) out += ", TI hashes: " + quoted(join(embeddings, ", "));
  return out;
}

/// What only models of one kind read.
void add_conditions(Json& out, const Plan& plan) {
  const Request& request = plan.request;
  if (request.class_label) out["class"] = *request.class_label;
  if (plan.mask) {
    out["invert_mask"] = request.invert_mask;
    out["mask_blur"] = request.mask_blur;
  }
  if (plan.condition == ImageCondition::kImage) {
    out["image_guidance_scale"] = request.image_guidance_scale;
  }
  if (plan.condition == ImageCondition::kLowResImage) out["noise_level"] = request.noise_level;
}

/// Pictures and latents to start from, and what the model is.
void add_inputs_and_model(Json& out, const RunFacts& facts) {
  if (!facts.init_image_sha256.empty()) out["init_image_sha256"] = facts.init_image_sha256;
  if (!facts.mask_sha256.empty()) out["mask_sha256"] = facts.mask_sha256;
  if (!facts.depth_sha256.empty()) out["depth_sha256"] = facts.depth_sha256;
  if (!facts.init_latents_sha256.empty()) out["init_latents_sha256"] = facts.init_latents_sha256;
  out["model"] = facts.model_name;
  out["family"] = facts.family;
  if (!facts.vae_name.empty()) out["vae"] = facts.vae_name;
  if (!facts.plan.loras.empty()) out["lora"] = loras_json(facts.plan);
  for (const EmbeddingUse& one : facts.embeddings) {
    out["embedding"].push_back(
        Json{{"name", one.name}, {"word", one.word}, {"sha256", one.sha256}});
  }
  if (!facts.controlnets.empty()) out["controlnet"] = controlnets_json(facts);
  if (!facts.control_image_sha256.empty()) {
    out["control_image_sha256"] = facts.control_image_sha256;
  }
}

/// Where it was computed; GPUs of one machine count as one.
void add_execution(Json& out, const RunFacts& facts) {
  const ExecutionSummary& execution = facts.execution;
  const std::string& device = execution.device;
  out["device"] = device.substr(0, device.find(':'));
  if (out["device"] != "cpu") out["gpu"] = execution.device_name;
  out["dtype"] = execution.dtype;
  if (facts.fast) out["fast"] = true;
  if (!execution.products.empty()) out["products"] = execution.products;
  out["isa"] = execution.isa;
  out["threads"] = execution.threads;
  if (!facts.determinism.empty()) out["determinism"] = facts.determinism;
}

void add_stages(Json& out, const StageHashes& stages) {
  stages.visit([&out](const char* name, const std::string& sha256) {
    if (!sha256.empty()) out["stages"][name] = sha256;
  });
}

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

MetadataMode metadata_mode(std::string_view word) {
  if (word == "none") return MetadataMode::kNone;
  return word == "a1111" ? MetadataMode::kA1111 : MetadataMode::kFull;
}

Json request_json(const Plan& plan) {
  const Request& request = plan.request;
  Json out;
  out["prompt"] = request.prompt;
  out["negative_prompt"] = request.negative_prompt;
  out["seed"] = request.seed;
  out["num_images"] = request.num_images;
  out["batch_size"] = request.batch_size;
  add_prompt_settings(out, request);
  out["width"] = request.width;
  out["height"] = request.height;
  out["steps"] = request.num_inference_steps;
  out["guidance_scale"] = request.guidance_scale;
  out["guidance_rescale"] = request.guidance_rescale;
  add_steering(out, request);
  out["sampler"] = request.sampler;
  out["eta"] = request.eta;
  add_schedule(out, request.schedule);
  if (request.compat != "diffusers") out["compat"] = request.compat;
  add_overrides(out, request.scheduler);
  out["clip_skip"] = request.clip_skip;
  if (plan.image_to_image || plan.mask) {
    out["strength"] = *request.strength;
    out["strength_mode"] = request.strength_mode == StrengthMode::kExact ? "exact" : "scaled";
  }
  add_control(out, request);
  if (request.hires) {
    out["strength_mode"] = request.strength_mode == StrengthMode::kExact ? "exact" : "scaled";
  }
  out.update(picture_options_json(request));
  add_conditions(out, plan);
  constexpr std::array<const char*, 3> kTilings = {"auto", "on", "off"};
  out["vae_tiling"] = kTilings[static_cast<std::size_t>(request.vae_tiling)];
  out["low_memory"] = request.low_memory;
  return out;
}

Json loras_json(const Plan& plan) {
  Json out = Json::array();
  for (const LoraUse& lora : plan.loras) {
    out.push_back({{"name", lora.name}, {"sha256", lora.sha256}, {"scale", lora.scale}});
    if (lora.from_prompt) out.back()["from_prompt"] = true;
  }
  return out;
}

Json controlnets_json(const RunFacts& facts) {
  Json out = Json::array();
  for (const ControlNetUse& net : facts.controlnets) {
    out.push_back({{"name", net.name}, {"scale", net.scale}});
  }
  return out;
}

std::string job_hash(const RunFacts& facts, std::uint64_t seed) {
  Json out;
  out["request"] = request_json(facts.plan);
  for (const char* key : {"num_images", "batch_size", "low_memory"}) out["request"].erase(key);
  out["request"]["seed"] = seed;
  out["tokens_sha256"] = tokens_sha256(facts.plan);
  add_inputs_and_model(out, facts);
  if (!facts.asked_dtype.empty()) out["dtype"] = facts.asked_dtype;
  if (facts.fast) out["fast"] = true;
  return sha256_hex(dump(out));
}

Json picture_settings(const RunFacts& facts, const ImageResult& result) {
  Json out;
  out["schema"] = 1;
  out["job"] = job_hash(facts, result.seed);
  out["version"] = version();
  out["revision"] = revision();
  out["libtorch"] = torch_version();
  out["seed"] = result.seed;
  out["index"] = facts.first_index + result.index;
  out["request"] = request_json(facts.plan);
  out["scheduler"] = facts.plan.scheduler_class;
  out["unet_calls"] = facts.plan.unet_calls();
  add_inputs_and_model(out, facts);
  if (!facts.weights.empty()) out["weights"] = facts.weights;
  add_execution(out, facts);
  add_stages(out, result.stages);
  return out;
}

std::string parameters_text(const RunFacts& facts, std::uint64_t seed) {
  const Request& request = facts.plan.request;
  std::string out = request.prompt;
  if (!request.negative_prompt.empty()) out += "\nNegative prompt: " + request.negative_prompt;
  const std::string schedule = a1111_schedule(request.schedule.name);
  out +=
      cat("\nSteps: ", request.num_inference_steps, ", Sampler: ", a1111_sampler(request.sampler),
          schedule.empty() ? "" : ", Schedule type: " + schedule,
          ", CFG scale: ", number_text(request.guidance_scale), ", Seed: ", seed,
          ", Size: ", request.width, "x", request.height);
  const auto unet = facts.weights.find("unet");
  if (unet != facts.weights.end()) out += ", Model hash: " + unet->second.substr(0, 10);
  out += ", Model: " + quoted(facts.model_name);
  out += addition_parameters(facts);
  if (facts.plan.image_to_image || facts.plan.mask) {
    out += ", Denoising strength: " + number_text(*request.strength);
  }
  out += picture_options_text(facts.plan);
  if (request.clip_skip > 0) out += cat(", Clip skip: ", request.clip_skip + 1);
  out += prompt_parameters(request);
  if (request.eta > 0) out += ", Eta: " + number_text(request.eta);
  return out + cat(", Version: ldm-gen ", version());
}

std::vector<PngText> picture_text(MetadataMode mode, const RunFacts& facts,
                                  const ImageResult& result) {
  std::vector<PngText> text;
  if (mode == MetadataMode::kNone) return text;
  text.push_back({"parameters", parameters_text(facts, result.seed)});
  if (mode == MetadataMode::kFull) {
    text.push_back({kSettingsKey, dump(picture_settings(facts, result))});
  }
  return text;
}

nlohmann::json settings_in_png(std::span<const std::byte> png) {
  try {
    for (const PngText& text : read_png_text(png, "picture")) {
      if (text.key != kSettingsKey) continue;
      JsonLimits limits;
      limits.max_bytes = png.size();
      return parse_json(text.value, limits, "settings");
    }
  } catch (const Error&) {
    return nullptr;
  }
  return nullptr;
}

bool records_job(const std::string& png_path, const std::string& job) {
  try {
    const std::string bytes = read_small_file(png_path, kMaxImageBytes * 4);
    const nlohmann::json settings = settings_in_png(std::as_bytes(std::span(bytes)));
    return settings.is_object() && settings.value("job", nlohmann::json()) == job;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace ldm::app
