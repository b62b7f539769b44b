#pragma once

#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "ldm/schedulers/schedule_choice.h"

namespace ldm {

/// Every scheduler_config.json field of the supported classes, under diffusers' names.
///
/// The values here are those that most classes share; what a class changes stands in its row's
/// `defaults()` (schedulers/registry.h). A field that a file leaves out takes the default of the
/// class that samples, not of the class that the file names. Fields a class does not know are
/// ignored.
struct SchedulerConfig {
  int num_train_timesteps = 1000;
  double beta_start = 0.0001;
  double beta_end = 0.02;
  std::string beta_schedule = "linear";  ///< linear scaled_linear squaredcos_cap_v2 laplace sigmoid
  std::optional<std::vector<double>> trained_betas;  ///< replaces beta_schedule
  std::string prediction_type = "epsilon";           ///< epsilon v_prediction sample
  std::string timestep_spacing = "leading";          ///< leading trailing linspace
  int steps_offset = 0;                              ///< added to the timesteps of leading spacing
  bool rescale_betas_zero_snr = false;               ///< Lin et al. 2023, Algorithm 1

  bool clip_sample = true;  ///< clamp x_0 to ±clip_sample_range (DDIM, DDPM)
  double clip_sample_range = 1.0;
  bool thresholding = false;  ///< dynamic thresholding of x_0, Saharia et al. 2022, §2.3
  double dynamic_thresholding_ratio = 0.995;
  double sample_max_value = 1.0;

  bool set_alpha_to_one = true;  ///< ᾱ after the last step is 1, else ᾱ_0 (DDIM, PNDM)
  bool skip_prk_steps = false;   ///< PNDM without its Runge-Kutta start
  std::optional<std::string> variance_type;  ///< DDPM: fixed_small … learned_range; none for others

  std::string algorithm_type =
      "dpmsolver++";                     ///< dpmsolver++ dpmsolver sde-dpmsolver++ sde-dpmsolver
  int solver_order = 2;                  ///< 1, 2 or 3
  std::string solver_type = "midpoint";  ///< midpoint heun
  bool lower_order_final = true;         ///< lower order at the end of fewer than 15 steps
  bool euler_at_final = false;           ///< first order at the last step
  double lambda_min_clipped = -std::numeric_limits<double>::infinity();

  std::string final_sigmas_type = "zero";     ///< zero sigma_min
  std::string interpolation_type = "linear";  ///< linear log_linear
  std::string timestep_type = "discrete";     ///< discrete continuous
  std::optional<double> sigma_min;
  std::optional<double> sigma_max;
  std::optional<bool> use_karras_sigmas = false;
  std::optional<bool> use_exponential_sigmas = false;
  std::optional<bool> use_beta_sigmas = false;
  bool use_lu_lambdas = false;
  bool use_flow_sigmas = false;

  bool predict_x0 = true;             ///< UniPC: integrates x_0, else ε
  int original_inference_steps = 50;  ///< LCM, TCD: timesteps that the distillation knew
  double timestep_scaling = 10.0;     ///< LCM: of the boundary condition (Luo et al. 2023, §4.1)
  std::string sigma_schedule = "karras";  ///< EDM: karras exponential
  double sigma_data = 0.5;                ///< EDM: spread of the training data
  double rho = 7.0;                       ///< EDM: exponent of karras

  /// Calls v(name, member) once for every field, in the order above.
  template <class V>
  void visit(V&& v) {
    v("num_train_timesteps", num_train_timesteps);
    v("beta_start", beta_start);
    v("beta_end", beta_end);
    v("beta_schedule", beta_schedule);
    v("trained_betas", trained_betas);
    v("prediction_type", prediction_type);
    v("timestep_spacing", timestep_spacing);
    v("steps_offset", steps_offset);
    v("rescale_betas_zero_snr", rescale_betas_zero_snr);
    v("clip_sample", clip_sample);
    v("clip_sample_range", clip_sample_range);
    v("thresholding", thresholding);
    v("dynamic_thresholding_ratio", dynamic_thresholding_ratio);
    v("sample_max_value", sample_max_value);
    v("set_alpha_to_one", set_alpha_to_one);
    v("skip_prk_steps", skip_prk_steps);
    v("variance_type", variance_type);
    v("algorithm_type", algorithm_type);
    v("solver_order", solver_order);
    v("solver_type", solver_type);
    v("lower_order_final", lower_order_final);
    v("euler_at_final", euler_at_final);
    v("lambda_min_clipped", lambda_min_clipped);
    v("final_sigmas_type", final_sigmas_type);
    v("interpolation_type", interpolation_type);
    v("timestep_type", timestep_type);
    v("sigma_min", sigma_min);
    v("sigma_max", sigma_max);
    v("use_karras_sigmas", use_karras_sigmas);
    v("use_exponential_sigmas", use_exponential_sigmas);
    v("use_beta_sigmas", use_beta_sigmas);
    v("use_lu_lambdas", use_lu_lambdas);
    v("use_flow_sigmas", use_flow_sigmas);
    v("predict_x0", predict_x0);
    v("original_inference_steps", original_inference_steps);
    v("timestep_scaling", timestep_scaling);
    v("sigma_schedule", sigma_schedule);
    v("sigma_data", sigma_data);
    v("rho", rho);
  }
};

/// What a caller, not the model, decides about a sampler.
struct SamplerOptions {
  /// DDIM: 0 deterministic … 1 DDPM's variance (Song et al. 2021, eq. 16); TCD: the share γ of
  /// noise in a step (Zheng et al. 2024, eq. 8).
  double eta = 0;
  ScheduleChoice schedule = {};
};

}  // namespace ldm
