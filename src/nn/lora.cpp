#include "ldm/nn/lora.h"

#include <algorithm>

#include "ldm/core/text.h"
#include "ldm/nn/layers.h"

namespace ldm::nn {
namespace {

bool is_target(const std::string& name, const std::vector<std::string>& targets) {
  return std::any_of(targets.begin(), targets.end(), [&name](const std::string& target) {
    return name == target || name.ends_with(cat(".", target));
  });
}

}  // namespace

std::vector<std::string> add_lora(torch::nn::Module& module, const LoraOptions& options) {
  const double scale = options.alpha / static_cast<double>(options.rank);
  std::vector<std::string> names;
  for (const auto& item : module.named_modules({}, /*include_self=*/false)) {
    if (!is_target(item.key(), options.target_modules)) continue;
    if (auto* linear = item.value()->as<LinearImpl>()) {
      linear->add_lora(options.rank, scale);
    } else if (auto* conv = item.value()->as<Conv2dImpl>()) {
      conv->add_lora(options.rank, scale);
    } else {
      continue;
    }
    names.push_back(item.key());
  }
  return names;
}

}  // namespace ldm::nn
