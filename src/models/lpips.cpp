#include "ldm/models/lpips.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/upsample_bilinear2d.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <string>

#include "ldm/core/error.h"

namespace ldm::models {
namespace {

constexpr double kNormEpsilon = 1e-10;

/// From [-1, 1] to the statistics that the classification networks were trained with
/// (`lpips.ScalingLayer`).
at::Tensor scaled(const at::Tensor& x) {
  const auto row = [&x](double red, double green, double blue) {
    return at::tensor({red, green, blue}, x.options().requires_grad(false)).view({1, 3, 1, 1});
  };
  return (x - row(-.030, -.088, -.188)) / row(.458, .448, .450);
}

at::Tensor normalized(const at::Tensor& features) {
  return features / (at::linalg_vector_norm(features, 2, {1}, /*keepdim=*/true) + kNormEpsilon);
}

}  // namespace

NetLinLayerImpl::NetLinLayerImpl(std::int64_t channels) {
  model = register_module("model", std::make_shared<nn::Sequence>());
  model->append_function([](const at::Tensor& x) { return x; });
  weighting = nn::Conv2d(channels, 1, 1, 1, 0, /*bias=*/false);
  model->append(weighting);
}

LPIPSImpl::LPIPSImpl(PerceptualNet which) {
  net = register_module("net", PerceptualBackbone(which));
  for (std::size_t k = 0; k < net->channels.size(); ++k) {
    lins.push_back(register_module("lin" + std::to_string(k), NetLinLayer(net->channels[k])));
  }
  set_trainable(false, false);
}

std::vector<at::Tensor> LPIPSImpl::differences(const at::Tensor& in0, const at::Tensor& in1,
                                               const DropoutMasks& masks) const {
  if (in0.sizes() != in1.sizes()) {
    throw Error::input("LPIPS compares pictures of one size", "resize or crop one of them");
  }
  const std::vector<at::Tensor> stages0 = net->forward(scaled(in0));
  const std::vector<at::Tensor> stages1 = net->forward(scaled(in1));
  std::vector<at::Tensor> weighted;
  for (std::size_t k = 0; k < stages0.size(); ++k) {
    at::Tensor squares = (normalized(stages0[k]) - normalized(stages1[k])).square();
    if (masks) squares = squares * masks(k, squares.sizes());
    weighted.push_back(lins[k]->forward(squares));
  }
  return weighted;
}

at::Tensor LPIPSImpl::forward(const at::Tensor& in0, const at::Tensor& in1,
                              const DropoutMasks& masks) const {
  at::Tensor distance;
  for (const at::Tensor& stage : differences(in0, in1, masks)) {
    const at::Tensor mean = stage.mean({1, 2, 3});
    distance = distance.defined() ? distance + mean : mean;
  }
  return distance;
}

at::Tensor LPIPSImpl::forward_map(const at::Tensor& in0, const at::Tensor& in1) const {
  at::Tensor map;
  for (const at::Tensor& stage : differences(in0, in1, {})) {
    const at::Tensor enlarged =
        at::upsample_bilinear2d(stage, {in0.size(2), in0.size(3)}, /*align_corners=*/false);
    map = map.defined() ? map + enlarged : enlarged;
  }
  return map;
}

void LPIPSImpl::set_trainable(bool backbone, bool weightings) {
  for (at::Tensor& parameter : net->parameters()) parameter.requires_grad_(backbone);
  for (const NetLinLayer& lin : lins) lin->weighting->weight.requires_grad_(weightings);
}

void LPIPSImpl::clamp_weightings() {
  const c10::AutoGradMode no_grad(false);
  for (const NetLinLayer& lin : lins) lin->weighting->weight.clamp_min_(0.0);
}

void initialize_lpips(LPIPSImpl& lpips, std::uint64_t seed) {
  const c10::AutoGradMode no_grad(false);
  const auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  for (const auto& item : lpips.named_parameters()) {
    if (!nn::is_unallocated(item.value())) continue;
    at::Tensor values = at::zeros(item.value().sizes());
    const bool is_weighting = item.key().starts_with("lin");
    if (values.dim() == 4) {
      const auto fan_in = static_cast<double>(values[0].numel());
      if (is_weighting) {
        values.uniform_(0.0, 1.0 / std::sqrt(fan_in), generator);
      } else {
        values.normal_(0.0, std::sqrt(2.0 / fan_in), generator);
      }
    }
    item.value().set_data(values);
  }
}

}  // namespace ldm::models
