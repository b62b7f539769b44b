#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/tanh.h>

#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "ldm/schedulers/registry.h"
#include "ldm/schedulers/scheduler.h"
#include "tests/support/catch.h"

namespace ldm::test {

inline void parse_value(const std::string& text, std::string& out) { out = text; }
inline void parse_value(const std::string& text, int& out) { out = std::stoi(text); }
inline void parse_value(const std::string& text, double& out) { out = std::stod(text); }
inline void parse_value(const std::string& text, bool& out) {
  REQUIRE((text == "True" || text == "False"));
  out = text == "True";
}
inline void parse_value(const std::string&, std::vector<double>&) {
  FAIL("a list in a golden key");
}
template <class T>
void parse_value(const std::string& text, std::optional<T>& out) {
  out.reset();
  if (text != "None") parse_value(text, out.emplace());
}

/// Sets the field `name` of `config`; false when there is none.
inline bool set_field(SchedulerConfig& config, const std::string& name, const std::string& value) {
  bool found = false;
  config.visit([&](const char* field, auto& member) {
    if (name != field) return;
    parse_value(value, member);
    found = true;
  });
  return found;
}

/// "a=1,b=x" as a map.
inline std::map<std::string, std::string> parse_pairs(const std::string& text) {
  std::map<std::string, std::string> pairs;
  std::istringstream in(text);
  for (std::string pair; std::getline(in, pair, ',');) {
    const auto equals = pair.find('=');
    REQUIRE(equals != std::string::npos);
    pairs.emplace(pair.substr(0, equals), pair.substr(equals + 1));
  }
  return pairs;
}

/// The published Stable Diffusion fields over a sampler's defaults, as scripts/goldens has them.
inline SchedulerConfig stable_diffusion(const SamplerEntry& entry) {
  SchedulerConfig config = entry.defaults();
  config.beta_schedule = "scaled_linear";
  config.beta_start = 0.00085;
  config.beta_end = 0.012;
  config.steps_offset = 1;
  config.clip_sample = false;
  config.skip_prk_steps = true;
  return config;
}

/// What one golden key asks for.
struct GoldenCase {
  GoldenCase(const SamplerEntry& entry, const std::string& key) : config(stable_diffusion(entry)) {
    for (const auto& [name, value] : parse_pairs(key)) {
      INFO(name << "=" << value);
      if (name == "steps") {
        steps = std::stoi(value);
      } else if (name == "begin") {
        begin = std::stoi(value);
      } else if (name == "eta") {
        options.eta = std::stod(value);
      } else if (name == "learned") {
        learned = true;
      } else if (name == "schedule") {
        const bool squared = value == "polyexponential-2";
        options.schedule.name = squared ? "polyexponential" : value;
        if (squared) options.schedule.rho = 2;
      } else {
        REQUIRE(set_field(config, name, value));
      }
    }
  }

  SchedulerConfig config;
  SamplerOptions options;
  int steps = 0;
  int begin = 0;
  bool learned = false;
};

/// The closed-form model of scripts/goldens/schedulers.py.
inline at::Tensor golden_model(const at::Tensor& x, double t, bool learned = false) {
  const at::Tensor output = 0.5 * x + 0.3 * at::tanh(x * (t / 1000 + 0.5));
  if (!learned) return output;
  return at::cat({output, 0.25 + 0.5 * at::pow(at::tanh(x), 2)}, 1);
}

}  // namespace ldm::test
