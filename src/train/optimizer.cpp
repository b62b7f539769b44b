#include "ldm/train/optimizer.h"

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/train/adamw.h"
#include "ldm/train/muon.h"

namespace ldm::train {
namespace {

/// AdamW for some parameters, Muon for the others.
class Both : public Optimizer {
 public:
  Both(std::vector<NamedParameter> parameters, Muon muon, AdamW adamw)
      : Optimizer(std::move(parameters)), muon_(std::move(muon)), adamw_(std::move(adamw)) {}

  void step(double factor) override {
    muon_.step(factor);
    adamw_.step(factor);
  }

  TensorMap state(const std::string& prefix) const override {
    TensorMap state = muon_.state(prefix);
    state.merge(adamw_.state(prefix));
    return state;
  }

 private:
  Muon muon_;
  AdamW adamw_;
};

}  // namespace

std::vector<NamedParameter> trained_parameters(const torch::nn::Module& module,
                                               const std::string& prefix) {
  std::vector<NamedParameter> parameters;
  for (const auto& item : module.named_parameters()) {
    if (item.value().requires_grad()) parameters.push_back({prefix + item.key(), item.value()});
  }
  return parameters;
}

void OptimizerConfig::validate(const std::string& where) const {
  const auto require = [&](bool fine, const char* field, double value, const char* range) {
    if (!fine) throw Error::input(cat(where, ": /", field, ": ", value, " is not ", range));
  };
  if (kind != "adamw" && kind != "muon") {
    throw Error::input(cat(where, ": /kind: unknown optimizer \"", kind, "\""),
                       "known: adamw, muon");
  }
  require(learning_rate > 0 && learning_rate <= 1, "learning_rate", learning_rate, "in (0, 1]");
  require(beta1 >= 0 && beta1 < 1, "beta1", beta1, "in [0, 1)");
  require(beta2 >= 0 && beta2 < 1, "beta2", beta2, "in [0, 1)");
  require(epsilon > 0, "epsilon", epsilon, "positive");
  require(weight_decay >= 0 && weight_decay < 1, "weight_decay", weight_decay, "in [0, 1)");
  require(momentum >= 0 && momentum < 1, "momentum", momentum, "in [0, 1)");
}

void Optimizer::zero_grad() {
  for (const NamedParameter& parameter : parameters_) {
    at::Tensor(parameter.value).mutable_grad().reset();
  }
}

std::unique_ptr<Optimizer> make_optimizer(std::vector<NamedParameter> parameters,
                                          const OptimizerConfig& config,
                                          std::shared_ptr<ProcessGroup> group) {
  if (config.kind == "adamw") return std::make_unique<AdamW>(std::move(parameters), config);
  std::vector<NamedParameter> matrices, others;
  for (const NamedParameter& parameter : parameters) {
    (is_hidden_matrix(parameter) ? matrices : others).push_back(parameter);
  }
  return std::make_unique<Both>(std::move(parameters),
                                Muon(std::move(matrices), config, std::move(group)),
                                AdamW(std::move(others), config));
}

}  // namespace ldm::train
