#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <cstddef>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace ldm::nn {

/// Modules and plain functions one after another, modules registered as children by their place
/// ("0", "3", …): torch.nn.Sequential's names. x of any shape that the steps take.
struct Sequence : torch::nn::Module {
  using Function = std::function<at::Tensor(const at::Tensor&)>;

  template <class Holder>
  void append(Holder module) {
    register_module(std::to_string(steps_.size()), module);
    steps_.emplace_back([module](const at::Tensor& x) { return module->forward(x); });
  }
  /// A step without parameters.
  void append_function(Function function) { steps_.push_back(std::move(function)); }

  at::Tensor forward(const at::Tensor& x) const { return forward_range(x, 0, steps_.size()); }
  /// Only the steps from `begin` to before `end`.
  at::Tensor forward_range(const at::Tensor& x, std::size_t begin, std::size_t end) const {
    at::Tensor hidden = x;
    for (std::size_t i = begin; i < end; ++i) hidden = steps_[i](hidden);
    return hidden;
  }
  std::size_t size() const { return steps_.size(); }

 private:
  std::vector<Function> steps_;
};

}  // namespace ldm::nn
