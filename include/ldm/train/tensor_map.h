#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "ldm/io/tensor_source.h"

namespace ldm::train {

/// Tensors by name, as they go into a checkpoint and come out of it.
using TensorMap = std::map<std::string, at::Tensor>;

/// Tensors in memory as something that io's writers read.
class TensorMapSource final : public TensorSource {
 public:
  /// Keeps contiguous CPU copies where the tensors are not so already. fp32, fp16, bf16, int64.
  explicit TensorMapSource(const TensorMap& tensors);

  const TensorInfo* find(std::string_view name) const override;
  std::vector<std::string> names() const override;
  void read_part(std::string_view name, std::uint64_t offset,
                 std::span<std::byte> out) const override;
  std::filesystem::path file_of(std::string_view) const override { return {}; }
  std::vector<SourceFile> files() const override { return {}; }
  const std::map<std::string, std::string>& metadata() const override { return metadata_; }
  void check_unchanged() const override {}

 private:
  struct Item {
    TensorInfo info;
    at::Tensor values;
  };
  const Item* item(std::string_view name) const;

  std::map<std::string, Item, std::less<>> items_;
  std::map<std::string, std::string> metadata_;
};

/// Parameters and buffers of a module by name, sharing storage.
TensorMap named_tensors(const torch::nn::Module& module, const std::string& prefix = {});

/// Copies `values` into `targets` of the same names, shapes and dtypes; Error::model listing every
/// name that is missing, unexpected or of another shape or dtype, with `what` before it.
void restore_tensors(const TensorMap& targets, const TensorMap& values, const std::string& what);

/// Reads every tensor of a safetensors file, checking digests that it carries. Error::model.
TensorMap read_tensors(const std::filesystem::path& file);

}  // namespace ldm::train
