#include "ldm/schedulers/scheduler.h"

#include <ATen/ops/allclose.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>

#include <cmath>

#include "ldm/core/error.h"
#include "tests/schedulers/golden_case.h"

namespace ldm::test {
namespace {

constexpr const char* kSpacings[] = {"leading", "trailing", "linspace"};

std::unique_ptr<Scheduler> make(const char* name, const char* spacing, int steps, double eta = 0,
                                const ScheduleChoice& choice = {}) {
  const SamplerEntry& entry = find_sampler(name);
  SchedulerConfig config = stable_diffusion(entry);
  config.timestep_spacing = spacing;
  auto scheduler = entry.make(config, {.eta = eta, .schedule = choice});
  scheduler->set_timesteps(steps);
  return scheduler;
}

bool is_edm(const SamplerEntry& entry) { return std::string(entry.name) == "edm-euler"; }

/// Whether the levels fall but for what a restart repeats, timesteps with them, and end last.
bool is_good_plan(const SamplerEntry& entry, const Scheduler& scheduler, int steps) {
  const bool repeats = std::string(entry.name) == "restart";
  // Second calls stand, in fp32, where the step ends or between, at timesteps rounded otherwise.
  const bool twice = scheduler.order() == 2;
  const double rounding = twice ? 0.5 : 0;
  const double slack = twice ? 1.05 : 1;
  const auto& timesteps = scheduler.timesteps();
  const auto& sigmas = scheduler.sigmas();
  bool good = timesteps.size() >= static_cast<std::size_t>(steps) &&
              timesteps.size() <= static_cast<std::size_t>(2 * steps) &&
              sigmas.size() == timesteps.size() + 1 && timesteps.front() <= 1000;
  for (std::size_t i = 0; i < timesteps.size(); ++i) {
    const bool falls = sigmas[i + 1] <= sigmas[i] * slack &&
                       (i == 0 || timesteps[i] <= timesteps[i - 1] + rounding);
    good = good && (timesteps[i] >= 0 || is_edm(entry)) && (falls || repeats) &&
           std::isfinite(sigmas[i]) && sigmas[i] > 0;
  }
  return good && sigmas.back() < 0.1;
}

/// x0 and noise, and the ε that is exactly right for a sample between them.
struct PerfectModel {
  at::Tensor x0 = at::randn({2, 4, 4, 4});
  at::Tensor noise = at::randn({2, 4, 4, 4});
};

at::Tensor run(Scheduler& scheduler, at::Tensor x, int begin, const at::Tensor& output) {
  for (int i = begin; i < static_cast<int>(scheduler.timesteps().size()); ++i) {
    x = scheduler.step(output, i, x,
                       scheduler.needs_noise(i) ? at::randn(x.sizes()) : at::Tensor());
  }
  return x;
}

TEST_CASE("what the model says of the clean sample is read back by every sampler") {
  const PerfectModel perfect;
  for (const SamplerEntry& entry : samplers()) {
    for (const char* type : {"epsilon", "v_prediction", "sample"}) {
      SchedulerConfig config = stable_diffusion(entry);
      config.prediction_type = type;
      std::unique_ptr<Scheduler> scheduler;
      try {
        scheduler = entry.make(config);
        scheduler->set_timesteps(7);
      } catch (const Error&) {
        continue;  // this sampler does not know that prediction type
      }
      for (int i = 0; i < static_cast<int>(scheduler->timesteps().size()); ++i) {
        INFO(entry.name << " " << type << " " << i);
        const double sigma = scheduler->sigmas()[static_cast<std::size_t>(i)];
        const double alpha = 1 / std::sqrt(sigma * sigma + 1);
        const at::Tensor sample = scheduler->add_noise(perfect.x0, perfect.noise, i);
        at::Tensor output = perfect.x0;
        if (config.prediction_type == "epsilon") output = perfect.noise;
        if (config.prediction_type == "v_prediction") {
          output = alpha * perfect.noise - alpha * sigma * perfect.x0;
        }
        if (is_edm(entry)) {  // Karras et al. 2022, table 1, with σ_data = ½
          const double spread = sigma * sigma + 0.25;
          const double out = (config.prediction_type == "epsilon" ? 1 : -1) * sigma * 0.5;
          output = (perfect.x0 - 0.25 / spread * sample) / (out / std::sqrt(spread));
        }
        CHECK(at::allclose(scheduler->estimate_x0(output, i, sample), perfect.x0, 1e-3, 2e-3));
      }
    }
  }
}

TEST_CASE("every step count from 1 to 1000 has a plan inside the schedule") {
  for (const SamplerEntry& entry : samplers()) {
    for (const char* spacing : kSpacings) {
      const auto scheduler = make(entry.name, spacing, 1);
      for (int steps = 1; steps <= 1000; ++steps) {
        scheduler->set_timesteps(steps);
        if (!is_good_plan(entry, *scheduler, steps)) {
          FAIL(entry.name << " " << spacing << " " << steps);
        }
      }
    }
  }
}

TEST_CASE("every schedule has a plan for every step count") {
  for (const SamplerEntry& entry : samplers()) {
    for (const std::string& name : entry.schedules()) {
      if (name == "default") continue;
      for (const char* spacing : kSpacings) {
        const auto scheduler = make(entry.name, spacing, 1, 0, {.name = name});
        for (int steps = 1; steps <= 1000; steps += steps < 40 ? 1 : 61) {
          scheduler->set_timesteps(steps);
          if (!is_good_plan(entry, *scheduler, steps)) {
            FAIL(entry.name << " " << name << " " << spacing << " " << steps);
          }
        }
      }
    }
  }
}

TEST_CASE("extreme step counts run to finite samples") {
  for (const SamplerEntry& entry : samplers()) {
    for (const char* spacing : kSpacings) {
      for (const int steps : {1, 2, 3, 4, 5, 61, 103, 501, 999, 1000}) {
        INFO(entry.name << " " << spacing << " " << steps);
        const auto scheduler = make(entry.name, spacing, steps);
        at::Tensor x = at::randn({1, 1, 2, 2}) * scheduler->init_noise_sigma();
        x = run(*scheduler, x, 0, at::randn({1, 1, 2, 2}));
        CHECK(at::isfinite(x).all().item<bool>());
      }
    }
    for (const std::string& name : entry.schedules()) {
      for (const int steps : {1, 2, 5, 37, 1000}) {
        INFO(entry.name << " " << name << " " << steps);
        const auto scheduler = make(entry.name, "linspace", steps, 0, {.name = name});
        at::Tensor x = at::randn({1, 1, 2, 2}) * scheduler->init_noise_sigma();
        x = run(*scheduler, x, 0, at::randn({1, 1, 2, 2}));
        CHECK(at::isfinite(x).all().item<bool>());
      }
    }
  }
}

TEST_CASE("zero terminal SNR gives finite samples, or is refused") {
  for (const SamplerEntry& entry : samplers()) {
    for (const char* prediction : {"epsilon", "v_prediction"}) {
      INFO(entry.name << " " << prediction);
      SchedulerConfig config = stable_diffusion(entry);
      config.timestep_spacing = "trailing";
      config.rescale_betas_zero_snr = true;
      config.prediction_type = prediction;
      try {
        const auto scheduler = entry.make(config);
        scheduler->set_timesteps(8);
        at::Tensor x = at::randn({1, 1, 2, 2}) * scheduler->init_noise_sigma();
        x = run(*scheduler, x, 0, at::randn({1, 1, 2, 2}));
        CHECK(at::isfinite(x).all().item<bool>());
      } catch (const Error& error) {
        CHECK(error.code() == ErrorCode::kUsage);
        const std::string name = entry.name;
        const bool in_alpha = name == "ddim" || name == "ddpm" || name == "lcm" || name == "tcd";
        CHECK((name == "pndm" || (in_alpha && config.prediction_type == "epsilon")));
      }
    }
  }
}

TEST_CASE("listed levels are the levels of the run") {
  for (const SamplerEntry& entry : samplers()) {
    if (entry.takes_sigmas() && !is_edm(entry)) {
      INFO(entry.name);
      const auto scheduler = make(entry.name, "leading", 4, 0, {.sigmas = {14.6, 3, 0.8, 0.2}});
      const std::vector<double>& sigmas = scheduler->sigmas();
      const auto order = static_cast<std::size_t>(scheduler->order());
      for (std::size_t i = 0; i < 4; ++i) {
        CHECK(sigmas[i * order] == Approx(std::vector{14.6, 3.0, 0.8, 0.2}[i]).epsilon(1e-6));
      }
      CHECK(sigmas.back() < 0.03);
    }
    if (entry.takes_timesteps()) {
      INFO(entry.name);
      const auto scheduler = make(entry.name, "leading", 3, 0, {.timesteps = {981, 500, 20}});
      const auto order = static_cast<std::size_t>(scheduler->order());
      for (std::size_t i = 0; i < 3; ++i) {
        CHECK(scheduler->timesteps()[i * order] == std::vector{981, 500, 20}[i]);
      }
    }
  }
}

TEST_CASE("other tools' levels are even from the last timestep to the first") {
  for (const char* name : {"euler", "dpmpp-2m", "unipc"}) {
    INFO(name);
    const auto k = make(name, "leading", 10, 0, {.style = LevelStyle::kKDiffusion});
    const auto comfy = make(name, "leading", 10, 0, {.style = LevelStyle::kComfy});
    for (std::size_t i = 0; i < 10; ++i) {
      const double even = 999.0 * static_cast<double>(9 - i) / 9;
      CHECK(k->timesteps()[i] == Approx(even).margin(1e-3));
      CHECK(comfy->timesteps()[i] == std::nearbyint(even));
      CHECK(comfy->sigmas()[i] == Approx(k->sigmas()[i]));
    }
    CHECK(k->sigmas().front() == Approx(14.6146).epsilon(1e-5));
    CHECK(k->sigmas().back() == 0);
  }
  const auto k = make("euler", "leading", 10, 0, {.style = LevelStyle::kKDiffusion});
  const auto comfy = make("euler", "trailing", 10, 0, {.style = LevelStyle::kComfy});
  CHECK(k->init_noise_sigma() == Approx(14.6146).epsilon(1e-5));
  CHECK(comfy->init_noise_sigma() == Approx(std::sqrt(14.6146 * 14.6146 + 1)).epsilon(1e-5));
  // Brownian where those tools have it, fresh where diffusers has.
  CHECK_FALSE(make("dpmpp-2m-sde", "leading", 4)->noise_interval(0));
  CHECK(make("dpmpp-2m-sde", "leading", 4, 0, {.style = LevelStyle::kComfy})->noise_interval(0));
}

TEST_CASE("Align Your Steps has the published timesteps at ten steps") {
  const std::vector<double> published = {999, 850, 736, 645, 545, 455, 343, 233, 124, 24};
  CHECK(make("ddim", "leading", 10, 0, {.name = "ays"})->timesteps() == published);
}

TEST_CASE("strength leaves the share of the steps that it says") {
  for (const SamplerEntry& entry : samplers()) {
    INFO(entry.name);
    const auto scheduler = make(entry.name, "leading", 10);
    const auto calls = static_cast<int>(scheduler->timesteps().size());
    CHECK(scheduler->begin_at_strength(1) == 0);
    CHECK(scheduler->begin_at_strength(0.5) == 5 * scheduler->order());
    CHECK(scheduler->begin_index() == 5 * scheduler->order());
    CHECK(scheduler->begin_at_strength(0.05) == calls);
  }
  // A restart leads no higher than where image to image begins.
  const auto restart = make("restart", "leading", 40);
  const auto most = restart->timesteps().size();
  const int begin = restart->begin_at_strength(0.3);
  const auto& sigmas = restart->sigmas();
  CHECK(restart->timesteps().size() == most);
  for (std::size_t i = static_cast<std::size_t>(begin); i < sigmas.size(); ++i) {
    CHECK(sigmas[i] <= sigmas[static_cast<std::size_t>(begin)]);
  }
}

TEST_CASE("noise is needed exactly where the public samplers draw it") {
  for (const char* spacing : kSpacings) {
    for (const char* name : {"ddim", "pndm", "euler", "dpmpp-2m", "heun", "dpm2", "lms", "unipc",
                             "deis", "ipndm", "edm-euler", "tcd", "restart"}) {
      const auto scheduler = make(name, spacing, 8);
      for (int i = 0; i < 8; ++i) CHECK_FALSE(scheduler->needs_noise(i));
    }
    const auto ancestral = make("euler-a", spacing, 8);
    const auto eta = make("ddim", spacing, 8, 0.3);
    const auto ddpm = make("ddpm", spacing, 8);
    for (int i = 0; i < 8; ++i) {
      CHECK(ancestral->needs_noise(i));
      CHECK(eta->needs_noise(i));
      CHECK(ddpm->needs_noise(i) == (ddpm->timesteps()[static_cast<std::size_t>(i)] > 0));
    }
  }
  CHECK(make("ddpm", "leading", 8)->needs_noise(7));
  CHECK_FALSE(make("ddpm", "linspace", 8)->needs_noise(7));
}

TEST_CASE("a perfect model takes add_noise back to the original") {
  const PerfectModel perfect;
  for (const char* name :
       {"ddim", "pndm", "euler", "dpmpp-2m", "heun", "dpm2", "lms", "unipc", "ipndm", "restart"}) {
    for (const char* spacing : kSpacings) {
      for (const int begin : {0, 5, 11}) {
        INFO(name << " " << spacing << " from " << begin);
        const SamplerEntry& entry = find_sampler(name);
        SchedulerConfig config = stable_diffusion(entry);
        config.timestep_spacing = spacing;
        config.set_alpha_to_one = true;
        const auto scheduler = entry.make(config);
        scheduler->set_timesteps(12);
        const int first = begin * scheduler->order();
        scheduler->set_begin_index(first);
        const at::Tensor x = scheduler->add_noise(perfect.x0, perfect.noise, first);
        const at::Tensor back = run(*scheduler, x, first, perfect.noise);
        // DDIM and PNDM step down by T / steps: other spacings, and PNDM's repeated call in the
        // middle, do not lead exactly to the end.
        const bool in_alpha = std::string(name) == "ddim" || std::string(name) == "pndm";
        const bool exact =
            std::string(spacing) == "leading" && (begin == 0 || std::string(name) == "ddim");
        if (!in_alpha || exact) CHECK(at::allclose(back, perfect.x0, 1e-3, 2e-3));
      }
    }
  }
}

TEST_CASE("DDIM with eta 1 is DDPM with its small variance") {
  SchedulerConfig config = find_sampler("ddim").defaults();
  config.clip_sample = false;
  for (const int steps : {10, 1000}) {
    const auto ddim = find_sampler("ddim").make(config, {.eta = 1});
    const auto ddpm = find_sampler("ddpm").make(config);
    ddim->set_timesteps(steps);
    ddpm->set_timesteps(steps);
    REQUIRE(ddim->timesteps() == ddpm->timesteps());
    const at::Tensor sample = at::randn({1, 4, 4, 4});
    const at::Tensor output = at::randn({1, 4, 4, 4});
    for (int i = 0; i < steps - 1; ++i) {
      const at::Tensor noise = at::randn({1, 4, 4, 4});
      if (!at::allclose(ddim->step(output, i, sample, noise), ddpm->step(output, i, sample, noise),
                        1e-4, 1e-4)) {
        FAIL("step " << i << " of " << steps);
      }
    }
  }
}

TEST_CASE("one deterministic step of a perfect model lands on add_noise of the next level") {
  const PerfectModel perfect;
  for (const char* name : {"ddim", "euler", "dpmpp-2m"}) {
    const auto scheduler = make(name, "leading", 10);
    for (int i = 0; i < 9; ++i) {
      scheduler->set_begin_index(i);
      const at::Tensor next =
          scheduler->step(perfect.noise, i, scheduler->add_noise(perfect.x0, perfect.noise, i));
      INFO(name << " " << i);
      CHECK(at::allclose(next, scheduler->add_noise(perfect.x0, perfect.noise, i + 1), 1e-4, 2e-3));
    }
  }
}

TEST_CASE("a run restarts at its begin index and forgets the one before") {
  for (const SamplerEntry& entry : samplers()) {
    INFO(entry.name);
    const auto scheduler = make(entry.name, "leading", 6);
    const at::Tensor start = at::randn({1, 4, 4, 4});
    const at::Tensor noise = at::randn({1, 4, 4, 4});
    const auto once = [&](int begin) {
      at::Tensor x = start;
      for (int i = begin; i < static_cast<int>(scheduler->timesteps().size()); ++i) {
        x = scheduler->step(golden_model(x, scheduler->timesteps()[static_cast<std::size_t>(i)]), i,
                            x, noise);
      }
      return x;
    };
    const at::Tensor first = once(0);
    CHECK(first.equal(once(0)));
    const int begin = 3 * scheduler->order();
    scheduler->set_begin_index(begin);
    const at::Tensor later = once(begin);
    scheduler->set_timesteps(6);
    CHECK(scheduler->begin_index() == 0);
    CHECK(first.equal(once(0)));
    scheduler->set_begin_index(begin);
    CHECK(later.equal(once(begin)));
  }
}

TEST_CASE("wrong use of step is an internal error, not a wrong picture") {
  const at::Tensor x = at::zeros({1, 4, 2, 2});
  const auto code = [](auto&& call) {
    try {
      call();
    } catch (const Error& error) {
      return error.code();
    }
    return ErrorCode::kTerminated;
  };
  for (const SamplerEntry& entry : samplers()) {
    INFO(entry.name);
    const auto scheduler = make(entry.name, "leading", 4);
    CHECK(code([&] { scheduler->step(x, 2, x, x); }) == ErrorCode::kInternal);
    scheduler->step(x, 0, x, x);
    CHECK(code([&] { scheduler->step(x, 2, x, x); }) == ErrorCode::kInternal);
    CHECK(code([&] { scheduler->set_begin_index(99); }) == ErrorCode::kInternal);
    CHECK(code([&] { scheduler->set_begin_index(-1); }) == ErrorCode::kInternal);
    if (scheduler->needs_noise(0)) {
      CHECK(code([&] { scheduler->step(x, 0, x); }) == ErrorCode::kInternal);
    }
  }
}

TEST_CASE("half-precision inputs are stepped in fp32") {
  for (const SamplerEntry& entry : samplers()) {
    INFO(entry.name);
    const auto scheduler = make(entry.name, "leading", 4);
    const at::Tensor x = at::randn({1, 4, 2, 2}).to(at::kBFloat16);
    const at::Tensor half = scheduler->step(x, 0, x, x);
    CHECK(half.scalar_type() == at::kFloat);
    const at::Tensor whole =
        scheduler->step(x.to(at::kFloat), 0, x.to(at::kFloat), x.to(at::kFloat));
    CHECK(half.equal(whole));
    CHECK(scheduler->add_noise(x, x, 1).scalar_type() == at::kFloat);
  }
}

TEST_CASE("PNDM calls the model once more than it steps, its Runge-Kutta start nine times more") {
  CHECK(make("pndm", "leading", 10)->timesteps().size() == 11);
  SchedulerConfig config = stable_diffusion(find_sampler("pndm"));
  config.skip_prk_steps = false;
  const auto scheduler = find_sampler("pndm").make(config);
  scheduler->set_timesteps(10);
  CHECK(scheduler->timesteps().size() == 19);
  CHECK_THROWS_AS(scheduler->set_timesteps(3), Error);
  scheduler->set_timesteps(10);
  scheduler->set_begin_index(4);
  const at::Tensor x = at::zeros({1, 4, 2, 2});
  CHECK_THROWS_AS(scheduler->step(x, 4, x), Error);
}

TEST_CASE("DDPM's fixed_large_log is fixed_large said in logarithms") {
  // diffusers takes the square root of that logarithm, which is NaN: no golden can be made.
  SchedulerConfig config = stable_diffusion(find_sampler("ddpm"));
  const at::Tensor x = at::randn({1, 4, 2, 2});
  const at::Tensor noise = at::randn({1, 4, 2, 2});
  const auto first_step = [&](const char* variance_type) {
    config.variance_type = variance_type;
    const auto scheduler = find_sampler("ddpm").make(config);
    scheduler->set_timesteps(10);
    return scheduler->step(x, 0, x, noise);
  };
  CHECK(first_step("fixed_large_log").equal(first_step("fixed_large")));
  CHECK_FALSE(first_step("fixed_large").equal(first_step("fixed_small")));
  CHECK_THROWS_AS(first_step("learned"), Error);
}

TEST_CASE("lambda_min_clipped bounds the steps of the DPM solvers") {
  SchedulerConfig config = stable_diffusion(find_sampler("dpmpp-2m"));
  config.beta_schedule = "squaredcos_cap_v2";
  config.lambda_min_clipped = 0;
  const auto scheduler = find_sampler("dpmpp-2m").make(config);
  scheduler->set_timesteps(20);
  CHECK(scheduler->timesteps().front() < 500);
  CHECK_THROWS_AS(scheduler->set_timesteps(900), Error);
}

}  // namespace
}  // namespace ldm::test
