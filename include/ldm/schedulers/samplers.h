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

SchedulerConfig heun_defaults();
std::unique_ptr<Scheduler> make_heun(const SchedulerConfig&, const SamplerOptions&);

SchedulerConfig dpm2_defaults();
std::unique_ptr<Scheduler> make_dpm2(const SchedulerConfig&, const SamplerOptions&);

SchedulerConfig dpm2_ancestral_defaults();
std::unique_ptr<Scheduler> make_dpm2_ancestral(const SchedulerConfig&, const SamplerOptions&);

SchedulerConfig lms_defaults();
std::unique_ptr<Scheduler> make_lms(const SchedulerConfig&, const SamplerOptions&);

SchedulerConfig dpmpp_2m_defaults();
std::unique_ptr<Scheduler> make_dpmpp_2m(const SchedulerConfig&, const SamplerOptions&);

SchedulerConfig dpmpp_2s_ancestral_defaults();
std::unique_ptr<Scheduler> make_dpmpp_2s_ancestral(const SchedulerConfig&, const SamplerOptions&);

SchedulerConfig dpmpp_sde_defaults();
std::unique_ptr<Scheduler> make_dpmpp_sde(const SchedulerConfig&, const SamplerOptions&);

SchedulerConfig dpmpp_2m_sde_defaults();
std::unique_ptr<Scheduler> make_dpmpp_2m_sde(const SchedulerConfig&, const SamplerOptions&);

SchedulerConfig dpmpp_3m_sde_defaults();
std::unique_ptr<Scheduler> make_dpmpp_3m_sde(const SchedulerConfig&, const SamplerOptions&);

SchedulerConfig unipc_defaults();
std::unique_ptr<Scheduler> make_unipc(const SchedulerConfig&, const SamplerOptions&);

SchedulerConfig deis_defaults();
std::unique_ptr<Scheduler> make_deis(const SchedulerConfig&, const SamplerOptions&);

SchedulerConfig ipndm_defaults();
std::unique_ptr<Scheduler> make_ipndm(const SchedulerConfig&, const SamplerOptions&);

SchedulerConfig edm_euler_defaults();
std::unique_ptr<Scheduler> make_edm_euler(const SchedulerConfig&, const SamplerOptions&);

SchedulerConfig lcm_defaults();
std::unique_ptr<Scheduler> make_lcm(const SchedulerConfig&, const SamplerOptions&);

SchedulerConfig tcd_defaults();
std::unique_ptr<Scheduler> make_tcd(const SchedulerConfig&, const SamplerOptions&);

SchedulerConfig restart_defaults();
std::unique_ptr<Scheduler> make_restart(const SchedulerConfig&, const SamplerOptions&);

}  // namespace ldm
