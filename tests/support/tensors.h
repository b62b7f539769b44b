#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace ldm::test {

/// The tensors of one tests/golden/NAME.safetensors, by name; metadata beside them.
struct Golden {
  explicit Golden(std::string_view name);
  /// The tensor `key`; a missing one fails the test.
  at::Tensor at(const std::string& key) const;
  bool has(const std::string& key) const { return tensors.count(key) > 0; }
  /// Loads every "PREFIX.name" tensor into `module`'s parameter "name"; names must match exactly.
  void load_into(torch::nn::Module& module, const std::string& prefix) const;

  std::map<std::string, at::Tensor> tensors;
  std::map<std::string, std::string> metadata;
};

/// Fails unless max |actual - expected| <= tolerance * std(expected) (std of 1 for constants); says
/// the first index that differs most, both values and the figure.
void expect_close(const at::Tensor& actual, const at::Tensor& expected, double tolerance,
                  const std::string& what = {});

/// `torch.randn(shape, generator=torch.Generator().manual_seed(seed))`.
at::Tensor seeded_randn(at::IntArrayRef shape, std::uint64_t seed);

/// Gives every parameter the weights that scripts/goldens/common.py `fill_by_formula` gives it, and
/// makes it want a gradient.
void fill_by_formula(torch::nn::Module& module, std::uint64_t seed);

/// [N, 5]: of each tensor the norm and four values spread over it (common.py `digest`).
at::Tensor digest(const std::vector<at::Tensor>& tensors);

/// The gradients of a module's parameters in name order.
std::vector<at::Tensor> gradients_of(const torch::nn::Module& module);

/// Fails unless each row of two digests agrees within `tolerance` of the row's norm.
void expect_digests(const at::Tensor& actual, const at::Tensor& expected, double tolerance,
                    const std::string& what = {});

}  // namespace ldm::test
