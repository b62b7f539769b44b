#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <optional>

namespace ldm::models {

/// What turns token ids (or a class) into the sequence that the UNet attends to.
struct TextEncoderImpl : torch::nn::Module {
  /// ids [B, N] int64 → [B, N, hidden_size()] in the weights' dtype. clip_skip counts as diffusers
  /// does (0 none, 1 the layer before the last); encoders that have none throw Error::usage unless
  /// it is 0.
  virtual at::Tensor encode(const at::Tensor& ids, std::int64_t clip_skip) const = 0;

  /// Width of the output: the UNet's cross_attention_dim.
  virtual std::int64_t hidden_size() const = 0;
  /// Number of ids that it knows: rows of its embedding.
  virtual std::int64_t vocabulary() const = 0;
  /// The id that stands for "no condition" in guidance, where one does (a null class).
  virtual std::optional<std::int64_t> null_id() const { return std::nullopt; }
  /// Makes ids from vocabulary() on stand for `vectors` [n, width] fp32 in place of rows of the
  /// embedding (textual inversion). Error::usage for encoders that cannot, Error::model for vectors
  /// of another width, naming it.
  virtual void learn(const at::Tensor& vectors);
  /// The longest sequence it takes.
  virtual std::int64_t max_positions() const = 0;
};

}  // namespace ldm::models
