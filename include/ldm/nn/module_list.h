#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace ldm::nn {

/// Modules of one type, registered as children "0", "1", …: torch.nn.ModuleList with typed access.
template <class Holder>
struct ModuleList : torch::nn::Module {
  void append(Holder module) {
    register_module(std::to_string(items_.size()), module);
    items_.push_back(std::move(module));
  }

  std::size_t size() const { return items_.size(); }
  bool empty() const { return items_.empty(); }
  const Holder& operator[](std::size_t i) const { return items_[i]; }
  auto begin() const { return items_.begin(); }
  auto end() const { return items_.end(); }

 private:
  std::vector<Holder> items_;
};

}  // namespace ldm::nn
