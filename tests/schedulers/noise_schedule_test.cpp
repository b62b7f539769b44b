#include "ldm/schedulers/noise_schedule.h"

#include <cmath>

#include "tests/schedulers/golden_case.h"

namespace ldm::test {
namespace {

TEST_CASE("alphas_cumprod falls strictly and stays inside (0, 1)") {
  for (const char* name : {"linear", "scaled_linear", "squaredcos_cap_v2", "laplace", "sigmoid"}) {
    for (const int count : {10, 1000}) {
      INFO(name << " " << count);
      SchedulerConfig config;
      config.beta_schedule = name;
      config.num_train_timesteps = count;
      const auto alphas = alphas_cumprod_table(config, true);
      REQUIRE(alphas.size() == static_cast<std::size_t>(count));
      CHECK(alphas.front() < 1);
      CHECK(alphas.back() >= 0);
      for (std::size_t t = 1; t < alphas.size(); ++t) {
        if (!(alphas[t] < alphas[t - 1])) FAIL("alpha rises at " << t);
      }
    }
  }
}

TEST_CASE("Stable Diffusion's schedule has the published ends") {
  const SchedulerConfig config = stable_diffusion(find_sampler("ddim"));
  const auto sigmas = training_sigmas(alphas_cumprod_table(config, true));
  CHECK(sigmas.front() == Approx(0.029167).epsilon(1e-4));
  CHECK(sigmas.back() == Approx(14.6146).epsilon(1e-5));
}

TEST_CASE("a rescaled schedule ends at zero, or at 2^-24 where sigma must be finite") {
  SchedulerConfig config = stable_diffusion(find_sampler("ddim"));
  const auto plain = alphas_cumprod_table(config, true);
  config.rescale_betas_zero_snr = true;
  CHECK(alphas_cumprod_table(config, true).back() == 0);
  CHECK(alphas_cumprod_table(config, true).front() == Approx(plain.front()).epsilon(1e-6));
  CHECK(alphas_cumprod_table(config, false).back() == 0x1p-24F);
  CHECK(training_sigmas(alphas_cumprod_table(config, false)).back() == Approx(4096).epsilon(1e-3));
}

TEST_CASE("the cosine schedule is not the integer-division one") {
  SchedulerConfig config;
  config.beta_schedule = "squaredcos_cap_v2";
  const auto alphas = alphas_cumprod_table(config, true);
  // cos²((t+s)/(1+s)·π/2), s = 0.008, at t = 1/2.
  const double middle = std::pow(std::cos(0.508 / 1.008 * 3.14159265358979 / 2), 2) /
                        std::pow(std::cos(0.008 / 1.008 * 3.14159265358979 / 2), 2);
  CHECK(alphas[499] == Approx(middle).epsilon(1e-4));
}

}  // namespace
}  // namespace ldm::test
