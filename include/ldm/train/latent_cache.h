#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ldm/io/tensor_source.h"
#include "ldm/models/autoencoder.h"
#include "ldm/train/dataset.h"
#include "ldm/train/fit_picture.h"
#include "ldm/train/process_group.h"

namespace ldm::train {

/// A data set's pictures as the autoencoder's distributions, encoded once: files of 4096 samples
/// ("latents-00003.safetensors": `mean` and, for a KL autoencoder, `std`, fp16 [N, C, h, w]), read
/// piece by piece, so that memory does not grow with the data.
class LatentCache {
 public:
  struct Options {
    std::filesystem::path folder;
    PictureOptions pictures;  ///< without random crops and flips, which a cache cannot hold
    std::int64_t batch_size = 16;
    std::string mixed_precision = "no";  ///< that pictures are encoded in, as `Autocast`'s
    std::string identity;  ///< of the autoencoder: files made with another one are made anew
  };
  /// Encodes what is not there yet; files are written whole, so this can be stopped and repeated.
  /// The ranks share the work by files and all wait for the last one. `progress` gets the numbers
  /// of samples done and to do. A picture that cannot be read is skipped: its place is taken by the
  /// next readable one. Throws Error::input when none can be read and for random crops or flips,
  /// Error::output.
  LatentCache(const Dataset& dataset, const models::AutoencoderImpl& autoencoder, Options options,
              ProcessGroup& group, const std::function<void(std::int64_t, std::int64_t)>& progress);

  /// The latents of a sample, unscaled: mean + std · noise. noise [C, h, w] fp32 → the same.
  at::Tensor sample(std::int64_t index, const at::Tensor& noise) const;
  /// [C, h, w] of every sample.
  const std::vector<std::int64_t>& shape() const { return shape_; }

 private:
  at::Tensor read(std::int64_t index, const char* name) const;

  std::vector<std::shared_ptr<const TensorSource>> files_;
  std::vector<std::int64_t> shape_;
  bool certain_ = false;  ///< no `std`
};

}  // namespace ldm::train
