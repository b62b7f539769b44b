#include <ATen/Version.h>
#include <ATen/ops/abs.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>

#include <algorithm>

#include "ldm/schedulers/noise_schedule.h"
#include "tests/schedulers/golden_case.h"
#include "tests/support/tensors.h"

namespace ldm::test {
namespace {

Golden golden_of(const SamplerEntry& entry) {
  return Golden(std::string("schedulers/") + entry.name);
}

/// The keys "KEY|suffix" of `golden`, without the suffix.
std::vector<std::string> keys_with(const Golden& golden, const std::string& suffix) {
  std::vector<std::string> keys;
  for (const auto& [name, tensor] : golden.tensors) {
    const auto bar = name.find('|');
    if (bar != std::string::npos && name.substr(bar + 1) == suffix)
      keys.push_back(name.substr(0, bar));
  }
  return keys;
}

at::Tensor floats(const std::vector<double>& values) {
  return at::tensor(std::vector<float>(values.begin(), values.end()));
}

std::map<std::string, std::string> printed(SchedulerConfig config) {
  std::map<std::string, std::string> fields;
  const auto print = [](const auto& value) {
    std::ostringstream out;
    out.precision(17);
    if constexpr (requires { out << value; }) {
      out << value;
    } else if constexpr (requires { out << *value; }) {
      if (value) out << *value;
    } else {
      out << value.has_value();
    }
    return out.str();
  };
  config.visit([&](const char* name, auto& member) { fields[name] = print(member); });
  return fields;
}

/// Bit-equal where ATen has the vector units the file was made with; else its own sqrt and linspace
/// round otherwise, in diffusers too.
void expect_same_table(const at::Tensor& actual, const at::Tensor& expected) {
  if (at::get_cpu_capability().starts_with("AVX")) CHECK(at::equal(actual, expected));
  expect_close(actual, expected, 5e-5);
}

/// Whether every level stands in diffusers' own tables, not in fp32 arithmetic between two of them,
/// or in a quantile of SciPy's.
bool has_exact_levels(const SamplerEntry& entry, const GoldenCase& golden_case) {
  const std::vector<std::string> between = {"dpm2",       "dpm2-a",  "dpmpp-sde",
                                            "dpmpp-2s-a", "restart", "dpmpp-3m-sde"};
  return std::find(between.begin(), between.end(), entry.name) == between.end() &&
         golden_case.options.schedule.name == "default";
}

struct Run {
  at::Tensor states;
  std::vector<bool> draws;
};

Run run_case(const SamplerEntry& entry, const GoldenCase& golden_case, const Golden& common) {
  const auto scheduler = entry.make(golden_case.config, golden_case.options);
  scheduler->set_timesteps(golden_case.steps);
  scheduler->set_begin_index(golden_case.begin);
  const at::Tensor noise = common.at("noise");
  at::Tensor x = common.at("sample");
  x = golden_case.begin > 0 ? scheduler->add_noise(x, noise[0], golden_case.begin)
                            : x * scheduler->init_noise_sigma();
  std::vector<at::Tensor> states = {x};
  Run run{{}, std::vector<bool>(scheduler->timesteps().size(), false)};
  for (auto i = static_cast<std::size_t>(golden_case.begin); i < run.draws.size(); ++i) {
    const int index = static_cast<int>(i);
    const at::Tensor seen = scheduler->scale_model_input(x, index);
    const at::Tensor output = golden_model(seen, scheduler->timesteps()[i], golden_case.learned);
    run.draws[i] = scheduler->needs_noise(index);
    const auto drawn = static_cast<std::int64_t>(i) % noise.size(0);
    x = scheduler->step(output, index, x, run.draws[i] ? noise[drawn] : at::Tensor());
    states.push_back(x);
  }
  run.states = at::stack(states);
  return run;
}

TEST_CASE("noise schedules equal diffusers' bit for bit", "[golden]") {
  const Golden common("schedulers/common");
  const auto keys = keys_with(common, "betas");
  REQUIRE(keys.size() == 7);
  for (const std::string& key : keys) {
    INFO(key);
    SchedulerConfig config;
    if (key == "trained") {
      const at::Tensor betas = common.at("trained|betas");
      config.num_train_timesteps = static_cast<int>(betas.numel());
      config.trained_betas.emplace(betas.data_ptr<float>(),
                                   betas.data_ptr<float>() + betas.numel());
    } else {
      config.beta_start = 0.00085;
      config.beta_end = 0.012;
      for (const auto& [name, value] : parse_pairs(key)) REQUIRE(set_field(config, name, value));
    }
    const at::Tensor betas = make_betas(config);
    expect_same_table(betas, common.at(key + "|betas"));
    expect_same_table(make_alphas_cumprod(betas), common.at(key + "|alphas_cumprod"));
  }
}

TEST_CASE("each sampler's defaults are its diffusers class's", "[golden]") {
  for (const SamplerEntry& entry : samplers()) {
    INFO(entry.name);
    SchedulerConfig config = entry.defaults();
    const auto fields = parse_pairs(golden_of(entry).metadata.at("defaults"));
    REQUIRE(fields.size() >= 8);
    for (const auto& [name, value] : fields) {
      INFO(name << "=" << value);
      CHECK(set_field(config, name, value));
    }
    CHECK(printed(config) == printed(entry.defaults()));
  }
}

TEST_CASE("timesteps and sigmas equal diffusers' bit for bit", "[golden]") {
  for (const SamplerEntry& entry : samplers()) {
    const Golden golden = golden_of(entry);
    const auto keys = keys_with(golden, "timesteps");
    REQUIRE(keys.size() >= (std::string(entry.name) == "ipndm" ? 0U : 14U));
    for (const std::string& key : keys) {
      INFO(entry.name << " " << key);
      const GoldenCase golden_case(entry, key);
      const auto scheduler = entry.make(golden_case.config);
      scheduler->set_timesteps(golden_case.steps);
      const at::Tensor timesteps = floats(scheduler->timesteps());
      const bool exact = has_exact_levels(entry, golden_case);
      REQUIRE(timesteps.sizes() == golden.at(key + "|timesteps").sizes());
      if (exact) {
        expect_same_table(timesteps, golden.at(key + "|timesteps"));
      } else {
        CHECK((timesteps - golden.at(key + "|timesteps")).abs().max().item<float>() < 5e-4);
      }
      if (golden.has(key + "|init")) {
        CHECK(scheduler->init_noise_sigma() ==
              Approx(golden.at(key + "|init").item<float>()).epsilon(1e-6));
      }
      CHECK(scheduler->sigmas().size() == scheduler->timesteps().size() + 1);
      if (golden.has(key + "|sigmas")) {
        const at::Tensor sigmas = floats(scheduler->sigmas());
        if (exact) {
          expect_same_table(sigmas, golden.at(key + "|sigmas"));
        } else {
          CHECK(at::allclose(sigmas, golden.at(key + "|sigmas"), 1e-5, 1e-6));
        }
      }
    }
  }
}

TEST_CASE("every step of every sampler equals diffusers'", "[golden]") {
  const Golden common("schedulers/common");
  for (const SamplerEntry& entry : samplers()) {
    const Golden golden = golden_of(entry);
    const auto keys = keys_with(golden, "x");
    REQUIRE(keys.size() >= 15);
    for (const std::string& key : keys) {
      INFO(entry.name << " " << key);
      const Run run = run_case(entry, GoldenCase(entry, key), common);
      const at::Tensor expected = golden.at(key + "|x");
      REQUIRE(run.states.sizes() == expected.sizes());
      for (std::int64_t i = 0; i < expected.size(0); ++i) {
        expect_close(run.states[i], expected[i], 1e-5, "state " + std::to_string(i));
      }
      if (!golden.has(key + "|draws")) {
        CHECK(std::find(run.draws.begin(), run.draws.end(), true) == run.draws.end());
        continue;
      }
      const at::Tensor draws = golden.at(key + "|draws");
      REQUIRE(draws.numel() == static_cast<std::int64_t>(run.draws.size()));
      for (std::size_t i = 0; i < run.draws.size(); ++i) {
        CHECK(run.draws[i] == (draws.data_ptr<std::uint8_t>()[i] == 1));
      }
    }
  }
}

}  // namespace
}  // namespace ldm::test
