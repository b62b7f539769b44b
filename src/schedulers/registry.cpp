#include "ldm/schedulers/registry.h"

#include <algorithm>
#include <array>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/schedulers/samplers.h"

namespace ldm {
namespace {

constexpr int kMostTrainTimesteps = 1'000'000;

constexpr std::array kSamplers = {
    SamplerEntry{"ddim", "DDIMScheduler", "Song et al. 2021 (DDIM), eq. 12", &ddim_defaults,
                 &make_ddim},
    SamplerEntry{"ddpm", "DDPMScheduler", "Ho et al. 2020 (DDPM), eq. 7", &ddpm_defaults,
                 &make_ddpm},
    SamplerEntry{"pndm", "PNDMScheduler", "Liu et al. 2022 (PNDM), eq. 9 and 12", &pndm_defaults,
                 &make_pndm},
    SamplerEntry{"euler", "EulerDiscreteScheduler", "Karras et al. 2022 (EDM), Algorithm 2",
                 &euler_defaults, &make_euler},
    SamplerEntry{"euler-a", "EulerAncestralDiscreteScheduler",
                 "k-diffusion's Euler with ancestral noise", &euler_ancestral_defaults,
                 &make_euler_ancestral},
    SamplerEntry{"dpmpp-2m", "DPMSolverMultistepScheduler",
                 "Lu et al. 2022 (DPM-Solver++), Algorithm 2", &dpmpp_2m_defaults, &make_dpmpp_2m},
};

void require(bool holds, std::string_view field, std::string_view rule) {
  if (!holds) throw Error::model(cat("scheduler field ", field, " must be ", rule));
}

void require_choice(std::string_view field, const std::string& value,
                    const std::vector<std::string>& choices) {
  if (std::find(choices.begin(), choices.end(), value) == choices.end()) {
    throw Error::model(cat(field, " \"", escape_control(value), "\" is not known"),
                       did_you_mean(value, choices));
  }
}

bool is_beta(double beta) { return beta >= 0 && beta < 1; }

// What every class reads; the fields of one class are checked by that class.
void check(const SchedulerConfig& config) {
  const int count = config.num_train_timesteps;
  require(count >= 2 && count <= kMostTrainTimesteps, "num_train_timesteps", "2…1000000");
  require_choice("beta_schedule", config.beta_schedule,
                 {"linear", "scaled_linear", "squaredcos_cap_v2", "laplace", "sigmoid"});
  require_choice("timestep_spacing", config.timestep_spacing, {"leading", "trailing", "linspace"});
  require_choice("prediction_type", config.prediction_type, {"epsilon", "v_prediction", "sample"});
  require(is_beta(config.beta_start), "beta_start", "in [0, 1)");
  require(is_beta(config.beta_end), "beta_end", "in [0, 1)");
  if (config.trained_betas) {
    require(config.trained_betas->size() == static_cast<std::size_t>(count), "trained_betas",
            "num_train_timesteps numbers");
    require(std::all_of(config.trained_betas->begin(), config.trained_betas->end(), is_beta),
            "trained_betas", "in [0, 1)");
  }
  require(config.steps_offset >= 0 && config.steps_offset < count, "steps_offset",
          "0…num_train_timesteps-1");
  require(config.clip_sample_range > 0, "clip_sample_range", "above 0");
  require(config.dynamic_thresholding_ratio >= 0 && config.dynamic_thresholding_ratio <= 1,
          "dynamic_thresholding_ratio", "in [0, 1]");
  require(config.sample_max_value >= 1, "sample_max_value", "at least 1");
}

}  // namespace

std::unique_ptr<Scheduler> SamplerEntry::make(const SchedulerConfig& config,
                                              const SamplerOptions& options) const {
  check(config);
  if (!(options.eta >= 0 && options.eta <= 1)) {
    throw Error::usage(cat("eta ", options.eta, " is outside 0…1"), "--eta 0");
  }
  return factory(config, options);
}

std::span<const SamplerEntry> samplers() { return kSamplers; }

std::vector<std::string> sampler_names() {
  std::vector<std::string> names;
  for (const SamplerEntry& entry : kSamplers) names.emplace_back(entry.name);
  return names;
}

const SamplerEntry& find_sampler(std::string_view name) {
  for (const SamplerEntry& entry : kSamplers) {
    if (name == entry.name) return entry;
  }
  throw Error::usage(cat("unknown sampler \"", escape_control(name), "\""),
                     did_you_mean(name, sampler_names()));
}

const SamplerEntry& find_sampler_by_class(std::string_view diffusers_class) {
  for (const SamplerEntry& entry : kSamplers) {
    if (diffusers_class == entry.diffusers_class) return entry;
  }
  throw Error::model(
      cat("scheduler class \"", escape_control(diffusers_class), "\" is not supported"),
      "--sampler NAME, one of: " + join(sampler_names(), ", "));
}

}  // namespace ldm
