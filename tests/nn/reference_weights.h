#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <torch/nn/module.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

namespace ldm::test {

/// FNV-1a, 64 bits.
inline std::uint64_t fnv1a(std::string_view text) {
  std::uint64_t hash = 0xCBF29CE484222325ULL;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3ULL;
  return hash;
}

/// The i-th of splitmix64's numbers from `seed`, as a multiple of 2^-23 in [-1, 1).
inline double uniform(std::uint64_t seed, std::uint64_t i) {
  std::uint64_t z = seed + (i + 1) * 0x9E3779B97F4A7C15ULL;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  z ^= z >> 31;
  return static_cast<double>(z >> 40) * 0x1p-23 - 1.0;
}

/// The weights that scripts/goldens/blocks.py gives a parameter of this name: computed on both
/// sides, bit for bit, so that they need not be stored.
inline at::Tensor reference_weight(const std::string& name, at::IntArrayRef shape) {
  at::Tensor weight = at::empty(shape);
  const bool norm_scale = name.find("norm") != std::string::npos && name.ends_with("weight");
  const double fan_in = static_cast<double>(weight.numel() / std::max<std::int64_t>(shape[0], 1));
  const std::uint64_t seed = fnv1a(name);
  auto* data = weight.mutable_data_ptr<float>();
  for (std::int64_t i = 0; i < weight.numel(); ++i) {
    const double u = uniform(seed, static_cast<std::uint64_t>(i));
    const double value = shape.size() > 1 ? u * std::sqrt(3.0 / fan_in)
                         : norm_scale     ? 1.0 + 0.3 * u
                                          : 0.2 * u;
    data[i] = static_cast<float>(value);
  }
  return weight;
}

/// Gives every parameter of `module` its reference weight.
inline void fill_reference_weights(torch::nn::Module& module) {
  for (auto& item : module.named_parameters()) {
    item.value().set_data(reference_weight(item.key(), item.value().sizes()));
  }
  module.eval();
}

/// All parameters as sorted lines "name 64x32".
inline std::string listing(const torch::nn::Module& module) {
  std::vector<std::string> lines;
  for (const auto& item : module.named_parameters()) {
    std::string line = item.key();
    char separator = ' ';
    for (const std::int64_t size : item.value().sizes()) {
      line += separator + std::to_string(size);
      separator = 'x';
    }
    lines.push_back(line + "\n");
  }
  std::sort(lines.begin(), lines.end());
  std::string text;
  for (const std::string& line : lines) text += line;
  return text;
}

/// The hash of `listing` as scripts/goldens/blocks.py stores it.
inline std::string listing_hash(const torch::nn::Module& module) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx",
                static_cast<unsigned long long>(fnv1a(listing(module))));
  return text;
}

}  // namespace ldm::test
