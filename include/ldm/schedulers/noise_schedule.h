#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "ldm/schedulers/scheduler_config.h"

namespace ldm {

/// The noise variances β_t of training. → [T] fp32 on the CPU, bit-equal to diffusers' tables.
///
/// beta_schedule: linear (Ho et al. 2020, §4), scaled_linear (Rombach et al. 2022: linear in √β),
/// squaredcos_cap_v2 (Nichol & Dhariwal 2021, eq. 17), laplace (Hang et al. 2024), sigmoid (Xu et
/// al. 2022, GeoDiff); trained_betas replaces it; rescaled when rescale_betas_zero_snr.
at::Tensor make_betas(const SchedulerConfig& config);

/// β rescaled so that ᾱ_T = 0 (Lin et al. 2023, Algorithm 1). betas [T] → [T].
at::Tensor rescale_zero_terminal_snr(const at::Tensor& betas);

/// ᾱ_t = Π (1 - β_s), s <= t. betas [T] → [T] fp32.
at::Tensor make_alphas_cumprod(const at::Tensor& betas);

/// ᾱ of `config`. `keep_zero` leaves a rescaled ᾱ_T at 0 (DDIM, DDPM); without it ᾱ_T becomes
/// 2⁻²⁴, so that σ_T = sqrt((1-ᾱ)/ᾱ) is finite (the classes that work in σ).
std::vector<float> alphas_cumprod_table(const SchedulerConfig& config, bool keep_zero);

/// sqrt((1-ᾱ)/ᾱ) for each ᾱ, rising with t.
std::vector<float> training_sigmas(const std::vector<float>& alphas_cumprod);

/// ATen's fp32 square root, exp and log of one number: its vector units round otherwise than the C
/// library, even the square root.
float sqrt_fp32(float x);
float exp_fp32(float x);
float log_fp32(float x);

}  // namespace ldm
