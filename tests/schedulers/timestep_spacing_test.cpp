#include "ldm/schedulers/timestep_spacing.h"

#include "ldm/schedulers/beta_quantile.h"
#include "ldm/schedulers/sigma_spacing.h"
#include "tests/support/catch.h"

namespace ldm::test {
namespace {

SchedulerConfig spaced(const char* spacing, int offset = 0) {
  SchedulerConfig config;
  config.timestep_spacing = spacing;
  config.steps_offset = offset;
  return config;
}

TEST_CASE("the three spacings put the ends where Lin et al. say") {
  CHECK(spaced_timesteps(spaced("leading", 1), 4) == std::vector<double>{751, 501, 251, 1});
  CHECK(spaced_timesteps(spaced("trailing"), 4) == std::vector<double>{999, 749, 499, 249});
  CHECK(spaced_timesteps(spaced("linspace"), 4) == std::vector<double>{999, 666, 333, 0});
  CHECK(spaced_timesteps(spaced("linspace"), 1) == std::vector<double>{0});
  CHECK(solver_timesteps(spaced("leading"), 3, 1000) == std::vector<double>{750, 500, 250});
  CHECK(solver_timesteps(spaced("linspace"), 3, 1000) == std::vector<double>{999, 666, 333});
}

TEST_CASE("trailing spacing never goes below 0") {
  // 1000 / 61 · 61 rounds below 1000: numpy's range, and diffusers', has a 62nd timestep of -1.
  for (int count = 1; count <= 1000; ++count) {
    const auto timesteps = spaced_timesteps(spaced("trailing"), count);
    INFO(count);
    CHECK(timesteps.size() == static_cast<std::size_t>(count));
    CHECK(timesteps.front() == 999);
    CHECK(timesteps.back() >= 0);
  }
}

TEST_CASE("interpolation hits table entries exactly and clamps at the ends") {
  const std::vector<float> table = {1, 3, 7};
  const std::vector<double> at = {-1, 0, 0.5, 1, 1.25, 2, 9};
  CHECK(interpolate(at, table) == std::vector<double>{1, 1, 2, 3, 4, 7, 7});
}

TEST_CASE("timesteps above the highest are lowered together") {
  std::vector<double> timesteps = {1000, 999, 1, 0};
  keep_below(timesteps, 999);
  CHECK(timesteps == std::vector<double>{999, 998, 0, 0});
  keep_below(timesteps, 999);
  CHECK(timesteps.front() == 999);
}

TEST_CASE("spaced sigmas reach both ends and their timesteps invert the table") {
  const std::vector<float> table = {0.5F, 1, 2, 4, 8};
  for (const auto spacing : {SigmaSpacing::kKarras, SigmaSpacing::kExponential,
                             SigmaSpacing::kPolyexponential, SigmaSpacing::kBeta}) {
    const auto sigmas = spaced_levels(spacing, {}, {8, 0.5}, 6, table).sigmas;
    REQUIRE(sigmas.size() == 6);
    CHECK(sigmas.front() == Approx(8).epsilon(1e-12));
    CHECK(sigmas.back() == Approx(0.5).epsilon(1e-12));
    for (std::size_t i = 1; i < sigmas.size(); ++i) CHECK(sigmas[i] < sigmas[i - 1]);
  }
  const std::vector<double> sigmas = {100, 8, 4, 2.828427, 0.5, 0.1, 0};
  const auto timesteps = timesteps_at_sigmas(sigmas, table);
  const std::vector<double> expected = {4, 4, 3, 2.5, 0, 0, 0};
  for (std::size_t i = 0; i < expected.size(); ++i)
    CHECK(timesteps[i] == Approx(expected[i]).margin(1e-6));
}

// scipy.stats.beta.ppf(p, 0.6, 0.6) of scipy 1.17.1
TEST_CASE("quantiles of the beta distribution are SciPy's") {
  CHECK(beta_quantile(0, 0.6, 0.6) == 0);
  CHECK(beta_quantile(1, 0.6, 0.6) == 1);
  CHECK(beta_quantile(0.5, 0.6, 0.6) == Approx(0.5).epsilon(1e-12));
  CHECK(beta_quantile(0.1, 0.6, 0.6) == Approx(0.03958440558878085).epsilon(1e-12));
  CHECK(beta_quantile(0.9, 0.6, 0.6) == Approx(0.9604155944112192).epsilon(1e-12));
  CHECK(beta_quantile(0.001, 0.6, 0.6) == Approx(1.855873851745199e-05).epsilon(1e-12));
}

}  // namespace
}  // namespace ldm::test
