#include "ldm/schedulers/noise_schedule.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cumprod.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/linspace.h>
#include <ATen/ops/log.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/sqrt.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm {
namespace {

constexpr double kMaxBeta = 0.999;

double cosine_alpha_bar(double t) {
  return std::pow(std::cos((t + 0.008) / 1.008 * std::numbers::pi / 2), 2);
}

double laplace_alpha_bar(double t) {
  const double lambda =
      -0.5 * std::copysign(1.0, 0.5 - t) * std::log(1 - 2 * std::abs(0.5 - t) + 1e-6);
  const double snr = std::exp(lambda);
  return std::sqrt(snr / (1 + snr));
}

at::Tensor betas_for_alpha_bar(int count, double (*alpha_bar)(double)) {
  std::vector<float> betas(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) {
    const double t1 = static_cast<double>(i) / count;
    const double t2 = static_cast<double>(i + 1) / count;
    const double beta = std::min(1 - alpha_bar(t2) / alpha_bar(t1), kMaxBeta);
    betas[static_cast<std::size_t>(i)] = static_cast<float>(beta);
  }
  return at::tensor(betas);
}

at::Tensor linspace_fp32(double start, double end, int count) {
  return at::linspace(start, end, count, at::kFloat);
}

at::Tensor scheduled_betas(const SchedulerConfig& config) {
  const int count = config.num_train_timesteps;
  if (config.trained_betas) {
    return at::tensor(
        std::vector<float>(config.trained_betas->begin(), config.trained_betas->end()));
  }
  if (config.beta_schedule == "linear") {
    return linspace_fp32(config.beta_start, config.beta_end, count);
  }
  if (config.beta_schedule == "scaled_linear") {
    return at::pow(
        linspace_fp32(std::pow(config.beta_start, 0.5), std::pow(config.beta_end, 0.5), count), 2);
  }
  if (config.beta_schedule == "squaredcos_cap_v2") {
    return betas_for_alpha_bar(count, cosine_alpha_bar);
  }
  if (config.beta_schedule == "laplace") return betas_for_alpha_bar(count, laplace_alpha_bar);
  if (config.beta_schedule == "sigmoid") {
    return at::sigmoid(linspace_fp32(-6, 6, count)) * (config.beta_end - config.beta_start) +
           config.beta_start;
  }
  throw Error::model(cat("beta_schedule \"", config.beta_schedule, "\" is not known"));
}

}  // namespace

at::Tensor make_betas(const SchedulerConfig& config) {
  const at::Tensor betas = scheduled_betas(config);
  return config.rescale_betas_zero_snr ? rescale_zero_terminal_snr(betas) : betas;
}

at::Tensor rescale_zero_terminal_snr(const at::Tensor& betas) {
  const at::Tensor root = at::sqrt(make_alphas_cumprod(betas));
  const at::Tensor first = root[0];
  const at::Tensor last = root[-1];
  const at::Tensor alphas_bar = at::pow((root - last) * (first / (first - last)), 2);
  const at::Tensor ratios = alphas_bar.slice(0, 1) / alphas_bar.slice(0, 0, -1);
  return 1 - at::cat({alphas_bar.slice(0, 0, 1), ratios});
}

at::Tensor make_alphas_cumprod(const at::Tensor& betas) { return at::cumprod(1.0 - betas, 0); }

std::vector<float> alphas_cumprod_table(const SchedulerConfig& config, bool keep_zero) {
  const at::Tensor table = make_alphas_cumprod(make_betas(config)).contiguous();
  std::vector<float> values(table.data_ptr<float>(), table.data_ptr<float>() + table.numel());
  // fp16's smallest positive number: nearly 0, and σ stays finite.
  if (config.rescale_betas_zero_snr && !keep_zero) values.back() = 0x1p-24F;
  return values;
}

std::vector<float> training_sigmas(const std::vector<float>& alphas_cumprod) {
  std::vector<float> sigmas;
  sigmas.reserve(alphas_cumprod.size());
  for (const float alpha : alphas_cumprod) sigmas.push_back(sqrt_fp32((1 - alpha) / alpha));
  return sigmas;
}

float sqrt_fp32(float x) { return at::sqrt(at::scalar_tensor(x, at::kFloat)).item<float>(); }

float exp_fp32(float x) { return at::exp(at::scalar_tensor(x, at::kFloat)).item<float>(); }

float log_fp32(float x) { return at::log(at::scalar_tensor(x, at::kFloat)).item<float>(); }

}  // namespace ldm
