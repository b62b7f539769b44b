#pragma once

#include <memory>

#include "ldm/schedulers/scheduler.h"

namespace ldm {

// One pair a sampler: diffusers' defaults for its class, and its maker; each body stands in the
// file named after the sampler. Callers go through schedulers/registry.h, which checks the config.

SchedulerConfig ddim_defaults();
std::unique_ptr<Scheduler> make_ddim(const SchedulerConfig&, const SamplerOptions&);

SchedulerConfig ddpm_defaults();
std::unique_ptr<Scheduler> make_ddpm(const SchedulerConfig&, const SamplerOptions&);

SchedulerConfig pndm_defaults();
std::unique_ptr<Scheduler> make_pndm(const SchedulerConfig&, const SamplerOptions&);

SchedulerConfig euler_defaults();
std::unique_ptr<Scheduler> make_euler(const SchedulerConfig&, const SamplerOptions&);

SchedulerConfig euler_ancestral_defaults();
std::unique_ptr<Scheduler> make_euler_ancestral(const SchedulerConfig&, const SamplerOptions&);

SchedulerConfig dpmpp_2m_defaults();
std::unique_ptr<Scheduler> make_dpmpp_2m(const SchedulerConfig&, const SamplerOptions&);

}  // namespace ldm
