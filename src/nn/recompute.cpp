#include "ldm/nn/recompute.h"

#include <ATen/autocast_mode.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/custom_class.h>

#include <array>
#include <cstddef>
#include <utility>

namespace ldm::nn {
namespace {

using Tensors = std::vector<at::Tensor>;

constexpr std::array<c10::DeviceType, 2> kDevices = {c10::kCPU, c10::kCUDA};

/// The calling thread's number formats of operators.
struct AutocastState {
  struct Device {
    bool enabled = false;
    c10::ScalarType dtype = c10::ScalarType::BFloat16;
  };
  std::array<Device, kDevices.size()> devices;
  bool cache = true;

  static AutocastState current() {
    AutocastState state;
    for (std::size_t i = 0; i < kDevices.size(); ++i) {
      state.devices[i] = {at::autocast::is_autocast_enabled(kDevices[i]),
                          at::autocast::get_autocast_dtype(kDevices[i])};
    }
    state.cache = at::autocast::is_autocast_cache_enabled();
    return state;
  }

  void apply() const {
    for (std::size_t i = 0; i < kDevices.size(); ++i) {
      at::autocast::set_autocast_enabled(kDevices[i], devices[i].enabled);
      at::autocast::set_autocast_dtype(kDevices[i], devices[i].dtype);
    }
    at::autocast::set_autocast_cache_enabled(cache);
  }
};

/// Another autocast for one scope. Without a cache: a weight cast where no gradient is recorded
/// must not be found where one is.
class AutocastScope {
 public:
  explicit AutocastScope(AutocastState state) : before_(AutocastState::current()) {
    state.cache = false;
    state.apply();
  }
  ~AutocastScope() { before_.apply(); }
  AutocastScope(const AutocastScope&) = delete;
  AutocastScope& operator=(const AutocastScope&) = delete;

 private:
  AutocastState before_;
};

/// What backward needs beside tensors.
struct Call : torch::CustomClassHolder {
  BlockForward forward;
  std::size_t inputs = 0;
  AutocastState autocast;
};

/// Inputs cut off from what made them, wanting a gradient where those did.
Tensors cut_off(at::TensorList inputs) {
  Tensors leaves;
  for (const at::Tensor& input : inputs) {
    leaves.push_back(input.detach().requires_grad_(input.requires_grad()));
  }
  return leaves;
}

/// The gradients of `of` for those of `outputs`; undefined where there is none.
Tensors gradients_of(const Tensors& outputs, const Tensors& gradients, const Tensors& of) {
  Tensors roots, root_gradients, wanted;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (!outputs[i].requires_grad() || !gradients[i].defined()) continue;
    roots.push_back(outputs[i]);
    root_gradients.push_back(gradients[i]);
  }
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < of.size(); ++i) {
    if (!of[i].requires_grad()) continue;
    wanted.push_back(of[i]);
    places.push_back(i);
  }
  Tensors all(of.size());
  if (roots.empty() || wanted.empty()) return all;
  Tensors found = torch::autograd::grad(roots, wanted, root_gradients, std::nullopt, false, true);
  for (std::size_t i = 0; i < places.size(); ++i) all[places[i]] = std::move(found[i]);
  return all;
}

/// `forward` of only those inputs that are defined: autograd takes no others.
BlockForward of_defined(const BlockForward& forward, at::TensorList inputs) {
  std::vector<bool> defined;
  for (const at::Tensor& input : inputs) defined.push_back(input.defined());
  return [forward, defined](at::TensorList given) {
    Tensors all;
    std::size_t next = 0;
    for (const bool there : defined) all.push_back(there ? given[next++] : at::Tensor());
    return forward(all);
  };
}

/// Its tensors are the block's inputs, then the parameters that learn.
struct Recompute : torch::autograd::Function<Recompute> {
  static Tensors forward(torch::autograd::AutogradContext* context,
                         const c10::intrusive_ptr<Call>& call, at::TensorList tensors) {
    context->saved_data["call"] = c10::IValue::make_capsule(call);
    context->save_for_backward(tensors.vec());
    context->set_materialize_grads(false);
    const AutocastScope autocast(call->autocast);
    return call->forward(tensors.slice(0, call->inputs));
  }

  static Tensors backward(torch::autograd::AutogradContext* context, const Tensors& gradients) {
    const auto holder = context->saved_data["call"].toCapsule();
    const auto& call = static_cast<const Call&>(*holder);
    const Tensors saved = context->get_saved_variables();
    const c10::AutoGradMode recorded(true);
    Tensors leaves = cut_off(at::TensorList(saved).slice(0, call.inputs));
    Tensors outputs;
    {
      const AutocastScope autocast(call.autocast);
      outputs = call.forward(leaves);
    }
    leaves.insert(leaves.end(), saved.begin() + static_cast<std::ptrdiff_t>(call.inputs),
                  saved.end());
    Tensors result = gradients_of(outputs, gradients, leaves);
    // The first argument of forward is no tensor.
    result.insert(result.begin(), at::Tensor());
    return result;
  }
};

}  // namespace

std::vector<at::Tensor> recompute(const torch::nn::Module& block, const BlockForward& forward,
                                  at::TensorList inputs) {
  if (!c10::GradMode::is_enabled()) return forward(inputs);
  auto call = c10::make_intrusive<Call>();
  call->forward = of_defined(forward, inputs);
  call->autocast = AutocastState::current();
  Tensors tensors;
  for (const at::Tensor& input : inputs) {
    if (input.defined()) tensors.push_back(input);
  }
  call->inputs = tensors.size();
  for (const at::Tensor& parameter : block.parameters()) {
    if (parameter.requires_grad()) tensors.push_back(parameter);
  }
  return Recompute::apply(call, at::TensorList(tensors));
}

}  // namespace ldm::nn
