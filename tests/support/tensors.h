#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <filesystem>
#include <map>
#include <string>
#include <string_view>

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

}  // namespace ldm::test
