#include "ldm/pipeline/time_embeddings.h"

#include <ATen/ops/full.h>

#include <cstdint>
#include <map>
#include <utility>

#include "ldm/loading/components.h"

namespace ldm {
namespace {

/// Schedules have at most a thousand steps; those of many runs may differ.
constexpr std::size_t kMostKept = 1000;

}  // namespace

struct TimeEmbeddings::Impl {
  std::int64_t loads = 0;  ///< of the weights that these are of
  std::map<std::pair<std::int64_t, double>, at::Tensor> kept;
};

TimeEmbeddings::TimeEmbeddings() : impl_(std::make_unique<Impl>()) {}

TimeEmbeddings::~TimeEmbeddings() = default;

at::Tensor TimeEmbeddings::embed(Components& components, std::int64_t rows, double timestep,
                                 const at::Tensor& class_labels) {
  const models::DenoiserImpl& unet = components.unet.get();
  const auto make = [&] {
    const auto options = at::TensorOptions().dtype(at::kFloat).device(components.execution.device);
    return unet.embed(rows, at::full({}, timestep, options), class_labels);
  };
  if (class_labels.defined()) return make();
  auto& [loads, kept] = *impl_;
  if (loads != components.unet.loads() || kept.size() >= kMostKept) kept.clear();
  loads = components.unet.loads();
  const auto key = std::make_pair(rows, timestep);
  const auto found = kept.find(key);
  return found != kept.end() ? found->second : kept.emplace(key, make()).first->second;
}

}  // namespace ldm
