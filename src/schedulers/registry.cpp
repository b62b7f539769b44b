#include "ldm/schedulers/registry.h"

#include <algorithm>
#include <array>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/schedulers/samplers.h"

namespace ldm {
namespace {

constexpr int kMostTrainTimesteps = 1'000'000;

using Levels = LevelChoice;

constexpr std::array kSamplers = {
    SamplerEntry{"ddim",
                 "DDIMScheduler",
                 "Song et al. 2021 (DDIM), eq. 12",
                 &ddim_defaults,
                 &make_ddim,
                 {Levels::kTimesteps, true, true}},
    SamplerEntry{"ddpm",
                 "DDPMScheduler",
                 "Ho et al. 2020 (DDPM), eq. 7",
                 &ddpm_defaults,
                 &make_ddpm,
                 {Levels::kTimesteps, false, true}},
    SamplerEntry{"pndm",
                 "PNDMScheduler",
                 "Liu et al. 2022 (PNDM), eq. 9 and 12",
                 &pndm_defaults,
                 &make_pndm,
                 {Levels::kNone}},
    SamplerEntry{"euler",
                 "EulerDiscreteScheduler",
                 "Karras et al. 2022 (EDM), Algorithm 2",
                 &euler_defaults,
                 &make_euler,
                 {Levels::kAll, false, true}},
    SamplerEntry{"euler-a",
                 "EulerAncestralDiscreteScheduler",
                 "k-diffusion's Euler with ancestral noise",
                 &euler_ancestral_defaults,
                 &make_euler_ancestral,
                 {Levels::kAll, false, true}},
    SamplerEntry{"heun",
                 "HeunDiscreteScheduler",
                 "Karras et al. 2022 (EDM), Algorithm 1",
                 &heun_defaults,
                 &make_heun,
                 {Levels::kAll}},
    SamplerEntry{"dpm2",
                 "KDPM2DiscreteScheduler",
                 "Lu et al. 2022 (DPM-Solver-2), Algorithm 1",
                 &dpm2_defaults,
                 &make_dpm2,
                 {Levels::kAll}},
    SamplerEntry{"dpm2-a",
                 "KDPM2AncestralDiscreteScheduler",
                 "k-diffusion's DPM-Solver-2 with ancestral noise",
                 &dpm2_ancestral_defaults,
                 &make_dpm2_ancestral,
                 {Levels::kAll}},
    SamplerEntry{"lms",
                 "LMSDiscreteScheduler",
                 "k-diffusion's linear multistep (Adams-Bashforth)",
                 &lms_defaults,
                 &make_lms,
                 {Levels::kAll}},
    SamplerEntry{"dpmpp-2m",
                 "DPMSolverMultistepScheduler",
                 "Lu et al. 2022 (DPM-Solver++), Algorithm 2",
                 &dpmpp_2m_defaults,
                 &make_dpmpp_2m,
                 {Levels::kAll, false, true}},
    SamplerEntry{"dpmpp-2s-a",
                 "",
                 "Lu et al. 2022 (DPM-Solver++), Algorithm 1, with ancestral noise",
                 &dpmpp_2s_ancestral_defaults,
                 &make_dpmpp_2s_ancestral,
                 {Levels::kAll}},
    SamplerEntry{"dpmpp-sde",
                 "DPMSolverSDEScheduler",
                 "k-diffusion's DPM-Solver++ on the SDE, two stages",
                 &dpmpp_sde_defaults,
                 &make_dpmpp_sde,
                 {Levels::kAll}},
    SamplerEntry{"dpmpp-2m-sde",
                 "DPMSolverMultistepScheduler",
                 "Lu et al. 2022 (SDE-DPM-Solver++), second order",
                 &dpmpp_2m_sde_defaults,
                 &make_dpmpp_2m_sde,
                 {Levels::kAll, false, true}},
    SamplerEntry{"dpmpp-3m-sde",
                 "",
                 "k-diffusion's SDE-DPM-Solver++, third order",
                 &dpmpp_3m_sde_defaults,
                 &make_dpmpp_3m_sde,
                 {Levels::kAll}},
    SamplerEntry{"unipc",
                 "UniPCMultistepScheduler",
                 "Zhao et al. 2023 (UniPC), Algorithms 5 to 8",
                 &unipc_defaults,
                 &make_unipc,
                 {Levels::kAll, false, true}},
    SamplerEntry{"deis",
                 "DEISMultistepScheduler",
                 "Zhang & Chen 2023 (DEIS), eq. 14 in log rho",
                 &deis_defaults,
                 &make_deis,
                 {Levels::kAll}},
    SamplerEntry{"ipndm",
                 "IPNDMScheduler",
                 "Zhang & Chen 2023 (iPNDM), fourth order",
                 &ipndm_defaults,
                 &make_ipndm,
                 {Levels::kAll}},
    SamplerEntry{"edm-euler",
                 "EDMEulerScheduler",
                 "Karras et al. 2022 (EDM), for models with its preconditioning",
                 &edm_euler_defaults,
                 &make_edm_euler,
                 {Levels::kContinuous}},
    SamplerEntry{"lcm",
                 "LCMScheduler",
                 "Luo et al. 2023 (LCM), Algorithm 3",
                 &lcm_defaults,
                 &make_lcm,
                 {Levels::kTimesteps, false, true}},
    SamplerEntry{"tcd",
                 "TCDScheduler",
                 "Zheng et al. 2024 (TCD), Algorithm 4",
                 &tcd_defaults,
                 &make_tcd,
                 {Levels::kTimesteps, true, true}},
    SamplerEntry{"restart",
                 "",
                 "Xu et al. 2023 (Restart), Algorithm 2",
                 &restart_defaults,
                 &make_restart,
                 {Levels::kNamed}},
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
  require(config.original_inference_steps >= 1, "original_inference_steps", "at least 1");
  require(!config.sigma_min || *config.sigma_min > 0, "sigma_min", "above 0");
  require(!config.sigma_max || *config.sigma_max > config.sigma_min.value_or(0), "sigma_max",
          "above sigma_min");
}

std::string samplers_for(bool (*fits)(const SamplerEntry&, const std::string&),
                         const std::string& schedule) {
  std::vector<std::string> names;
  for (const SamplerEntry& entry : samplers()) {
    if (fits(entry, schedule)) names.emplace_back(entry.name);
  }
  return "it fits " + join(names, ", ");
}

bool follows(const SamplerEntry& entry, const std::string& schedule) {
  const std::vector<std::string> fitting = entry.schedules();
  return std::find(fitting.begin(), fitting.end(), schedule) != fitting.end();
}

void refuse_levels(const SamplerEntry& entry, const ScheduleChoice& choice) {
  if (!follows(entry, choice.name)) {
    throw Error::usage(cat("sampler ", entry.name, " cannot follow the schedule ", choice.name,
                           ", only ", join(entry.schedules(), ", ")),
                       samplers_for(&follows, choice.name));
  }
  if (!choice.sigmas.empty() && !entry.takes_sigmas()) {
    throw Error::usage(
        cat("sampler ", entry.name, " takes no --sigmas"),
        samplers_for([](const SamplerEntry& row, const std::string&) { return row.takes_sigmas(); },
                     {}));
  }
  if (!choice.timesteps.empty() && !entry.takes_timesteps()) {
    throw Error::usage(
        cat("sampler ", entry.name, " takes no --timesteps"),
        samplers_for(
            [](const SamplerEntry& row, const std::string&) { return row.takes_timesteps(); }, {}));
  }
}

}  // namespace

std::unique_ptr<Scheduler> SamplerEntry::make(const SchedulerConfig& config,
                                              const SamplerOptions& options) const {
  check(config);
  if (!(options.eta >= 0 && options.eta <= 1)) {
    throw Error::usage(cat("eta ", options.eta, " is outside 0…1"), "--eta 0");
  }
  check_choice(options.schedule, config.num_train_timesteps);
  refuse_levels(*this, options.schedule);
  return factory(config, options);
}

const char* SamplerEntry::public_name() const {
  return *diffusers_class == '\0' ? "k-diffusion" : diffusers_class;
}

std::vector<std::string> SamplerEntry::schedules() const {
  switch (traits.levels) {
    case LevelChoice::kNone:
      return {"default"};
    case LevelChoice::kTimesteps:
      return {"default", "ays"};
    case LevelChoice::kContinuous:
      return {"default", "karras", "exponential", "polyexponential", "beta"};
    default:
      return schedule_names();
  }
}

bool SamplerEntry::takes_sigmas() const {
  return traits.levels == LevelChoice::kAll || traits.levels == LevelChoice::kContinuous;
}

bool SamplerEntry::takes_timesteps() const {
  return traits.levels == LevelChoice::kAll || traits.levels == LevelChoice::kTimesteps;
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
    if (!diffusers_class.empty() && diffusers_class == entry.diffusers_class) return entry;
  }
  throw Error::model(
      cat("scheduler class \"", escape_control(diffusers_class), "\" is not supported"),
      "--sampler NAME, one of: " + join(sampler_names(), ", "));
}

}  // namespace ldm
