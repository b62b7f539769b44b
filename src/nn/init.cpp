#include "ldm/nn/init.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <string>

#include "ldm/nn/batch_norm.h"
#include "ldm/nn/layers.h"

namespace ldm::nn {
namespace {

/// FNV-1a: the same on every machine, unlike std::hash.
std::uint64_t hash_name(const std::string& name, std::uint64_t seed) {
  std::uint64_t hash = 0xcbf29ce484222325U ^ seed;
  for (const char letter : name) {
    hash = (hash ^ static_cast<unsigned char>(letter)) * 0x100000001b3U;
  }
  return hash;
}

constexpr double kEmbeddingDeviation = 0.02;

class Initializer {
 public:
  explicit Initializer(std::uint64_t seed) : seed_(seed) {}

  void fill(const torch::nn::Module& layer, const std::string& name) const {
    for (const auto& item : layer.named_parameters(/*recurse=*/false)) {
      const at::Tensor& parameter = item.value();
      if (!is_unallocated(parameter) && parameter.numel() != 1) continue;
      const std::string path = name.empty() ? item.key() : name + "." + item.key();
      at::Tensor values = at::empty(parameter.sizes(), at::kFloat);
      draw(layer, item.key(), values,
           at::make_generator<at::CPUGeneratorImpl>(hash_name(path, seed_)));
      parameter.set_data(values);
      at::Tensor(parameter).requires_grad_(true);
    }
  }

 private:
  static void draw(const torch::nn::Module& layer, const std::string& key, at::Tensor& values,
                   const at::Generator& generator) {
    if (dynamic_cast<const GroupNormImpl*>(&layer) != nullptr ||
        dynamic_cast<const LayerNormImpl*>(&layer) != nullptr ||
        dynamic_cast<const BatchNorm2dImpl*>(&layer) != nullptr) {
      values.fill_(key == "weight" ? 1.0 : 0.0);
      return;
    }
    double fan_in = 0;
    if (const auto* linear = dynamic_cast<const LinearImpl*>(&layer)) {
      fan_in = static_cast<double>(linear->weight.size(1));
    } else if (const auto* conv = dynamic_cast<const Conv2dImpl*>(&layer)) {
      fan_in = static_cast<double>(conv->weight[0].numel());
    }
    if (fan_in > 0) {
      values.uniform_(-1.0 / std::sqrt(fan_in), 1.0 / std::sqrt(fan_in), generator);
    } else {
      values.normal_(0.0, kEmbeddingDeviation, generator);
    }
  }

  std::uint64_t seed_;
};

}  // namespace

void initialize(torch::nn::Module& module, std::uint64_t seed) {
  const c10::AutoGradMode no_grad(false);
  const Initializer initializer(seed);
  initializer.fill(module, "");
  for (const auto& item : module.named_modules("", /*include_self=*/false)) {
    initializer.fill(*item.value(), item.key());
  }
}

void zero(torch::nn::Module& layer) {
  const c10::AutoGradMode no_grad(false);
  for (at::Tensor& parameter : layer.parameters(/*recurse=*/false)) parameter.zero_();
}

}  // namespace ldm::nn
