#include "ldm/schedulers/registry.h"

#include <cmath>

#include "ldm/core/error.h"
#include "tests/schedulers/golden_case.h"

namespace ldm::test {
namespace {

template <class F>
Error error_of(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    return error;
  }
  FAIL("no error");
  return Error::internal("");
}

Error make_error(const char* sampler, const std::string& field, const std::string& value) {
  const SamplerEntry& entry = find_sampler(sampler);
  SchedulerConfig config = stable_diffusion(entry);
  REQUIRE(set_field(config, field, value));
  return error_of([&] { entry.make(config); });
}

TEST_CASE("samplers are found by name and by diffusers class") {
  for (const SamplerEntry& entry : samplers()) {
    CHECK(&find_sampler(entry.name) == &entry);
    if (*entry.diffusers_class != '\0') {
      CHECK(std::string(find_sampler_by_class(entry.diffusers_class).diffusers_class) ==
            entry.diffusers_class);
    }
    CHECK(std::string(entry.source).size() > 10);
  }
  CHECK(sampler_names().size() == samplers().size());
  CHECK(std::string(find_sampler_by_class("PNDMScheduler").name) == "pndm");
  CHECK(std::string(find_sampler_by_class("DPMSolverMultistepScheduler").name) == "dpmpp-2m");
  CHECK_THROWS_AS(find_sampler_by_class(""), Error);
}

TEST_CASE("an unknown sampler is a usage error with a suggestion") {
  const Error error = error_of([] { find_sampler("eulr"); });
  CHECK(error.code() == ErrorCode::kUsage);
  CHECK(error.message() == "unknown sampler \"eulr\"");
  CHECK(error.hint() == "did you mean euler?");
}

TEST_CASE("an unknown scheduler class is a model error that names the choices") {
  const Error error = error_of([] { find_sampler_by_class("SASolverScheduler"); });
  CHECK(error.code() == ErrorCode::kModel);
  CHECK(error.hint().find("--sampler") != std::string::npos);
  CHECK(error.hint().find("dpmpp-2m") != std::string::npos);
}

TEST_CASE("field values that no class knows are model errors") {
  const std::vector<std::vector<std::string>> bad = {
      {"num_train_timesteps", "0"},
      {"num_train_timesteps", "-5"},
      {"num_train_timesteps", "2000000000"},
      {"beta_schedule", "linaer"},
      {"beta_start", "nan"},
      {"beta_end", "1.5"},
      {"prediction_type", "flow"},
      {"timestep_spacing", "leadin"},
      {"steps_offset", "-1"},
      {"steps_offset", "1000"},
      {"clip_sample_range", "0"},
      {"dynamic_thresholding_ratio", "1.5"},
      {"sample_max_value", "nan"},
  };
  for (const SamplerEntry& entry : samplers()) {
    for (const auto& pair : bad) {
      INFO(entry.name << " " << pair[0] << "=" << pair[1]);
      CHECK(make_error(entry.name, pair[0], pair[1]).code() == ErrorCode::kModel);
    }
  }
  CHECK(make_error("ddim", "timestep_spacing", "leadin").hint() == "did you mean leading?");
}

TEST_CASE("field values that one class does not know are its own model errors") {
  CHECK(make_error("dpmpp-2m", "algorithm_type", "dpmsolver+++").code() == ErrorCode::kModel);
  CHECK(make_error("dpmpp-2m", "solver_type", "rk4").code() == ErrorCode::kModel);
  CHECK(make_error("dpmpp-2m", "solver_order", "4").code() == ErrorCode::kModel);
  CHECK(make_error("dpmpp-2m", "solver_order", "0").code() == ErrorCode::kModel);
  CHECK(make_error("dpmpp-2m", "final_sigmas_type", "one").code() == ErrorCode::kModel);
  CHECK(make_error("dpmpp-2m", "algorithm_type", "dpmsolver").code() == ErrorCode::kModel);
  CHECK(make_error("unipc", "solver_type", "rk4").code() == ErrorCode::kModel);
  CHECK(make_error("unipc", "solver_order", "0").code() == ErrorCode::kModel);
  CHECK(make_error("unipc", "predict_x0", "False").code() == ErrorCode::kModel);
  CHECK(make_error("deis", "solver_type", "rk4").code() == ErrorCode::kModel);
  CHECK(make_error("deis", "solver_order", "4").code() == ErrorCode::kModel);
  CHECK(make_error("edm-euler", "sigma_schedule", "linear").code() == ErrorCode::kModel);
  CHECK(make_error("edm-euler", "sigma_max", "0.001").code() == ErrorCode::kModel);
  CHECK(make_error("lcm", "original_inference_steps", "0").code() == ErrorCode::kModel);
  CHECK(make_error("dpmpp-2m", "use_flow_sigmas", "True").code() == ErrorCode::kModel);
  CHECK(make_error("euler", "final_sigmas_type", "one").code() == ErrorCode::kModel);
  CHECK(make_error("ddpm", "variance_type", "fixed").code() == ErrorCode::kModel);
  SchedulerConfig config = stable_diffusion(find_sampler("ddim"));
  config.solver_type = "rk4";
  CHECK(find_sampler("ddim").make(config) != nullptr);
  config.solver_type = "bh2";
  config.algorithm_type = "deis";
  CHECK(find_sampler("dpmpp-2m").make(config) != nullptr);
  config.trained_betas = std::vector<double>(999, 0.01);
  CHECK(error_of([&] { find_sampler("ddim").make(config); }).code() == ErrorCode::kModel);
}

Error choice_error(const char* sampler, const ScheduleChoice& choice) {
  const SamplerEntry& entry = find_sampler(sampler);
  const Error error =
      error_of([&] { entry.make(stable_diffusion(entry), {.eta = 0, .schedule = choice}); });
  CHECK(error.code() == ErrorCode::kUsage);
  return error;
}

TEST_CASE("noise levels that do not fit a sampler are refused with what fits") {
  const Error karras = choice_error("ddim", {.name = "karras"});
  CHECK(karras.message() == "sampler ddim cannot follow the schedule karras, only default, ays");
  CHECK(karras.hint().find("it fits euler, ") == 0);
  CHECK(karras.hint().find("lcm") == std::string::npos);
  CHECK(choice_error("pndm", {.name = "ays"}).hint().find("ddim") != std::string::npos);
  CHECK(choice_error("lcm", {.sigmas = {3, 1}}).message() == "sampler lcm takes no --sigmas");
  CHECK(choice_error("restart", {.timesteps = {900, 1}}).message() ==
        "sampler restart takes no --timesteps");
  CHECK(choice_error("euler", {.name = "karas"}).hint() == "did you mean karras?");
  for (const SamplerEntry& entry : samplers()) {
    for (const std::string& name : entry.schedules()) {
      SchedulerConfig config = stable_diffusion(entry);
      CHECK(entry.make(config, {.eta = 0, .schedule = {.name = name}}) != nullptr);
    }
  }
}

TEST_CASE("lists of noise levels are checked") {
  CHECK(choice_error("euler", {.sigmas = {3, 3}}).message() ==
        "--sigmas must fall: 3 stands after 3");
  CHECK(choice_error("euler", {.sigmas = {3, -1}}).message() == "--sigmas: -1 is outside 0…10000");
  CHECK(choice_error("euler", {.sigmas = {std::nan("")}}).message().find("nan") !=
        std::string::npos);
  choice_error("euler", {.sigmas = {0}});
  choice_error("euler", {.timesteps = {1000}});
  choice_error("euler", {.sigmas = {3}, .timesteps = {3}});
  choice_error("euler", {.name = "karras", .sigmas = {3}});
  choice_error("euler", {.name = "beta", .rho = 3});
  choice_error("euler", {.name = "karras", .rho = 0});
  choice_error("euler", {.sigmas = std::vector<double>(1001, 1)});
}

TEST_CASE("what a sampler cannot do is a usage error") {
  CHECK(make_error("pndm", "prediction_type", "sample").code() == ErrorCode::kUsage);
  CHECK(make_error("euler-a", "prediction_type", "sample").code() == ErrorCode::kUsage);
  const SamplerEntry& ddim = find_sampler("ddim");
  for (const double eta : {-0.1, 1.1, std::nan("")}) {
    CHECK(error_of([&] { ddim.make(ddim.defaults(), {.eta = eta}); }).code() == ErrorCode::kUsage);
  }
  for (const SamplerEntry& entry : samplers()) {
    const auto scheduler = entry.make(stable_diffusion(entry));
    for (const int steps : {-1, 0, 1001}) {
      CHECK(error_of([&] { scheduler->set_timesteps(steps); }).code() == ErrorCode::kUsage);
    }
  }
}

}  // namespace
}  // namespace ldm::test
