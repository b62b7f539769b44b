#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ldm/train/batch_loader.h"
#include "ldm/train/run_config.h"
#include "ldm/train/training_loop.h"

namespace ldm::train {

/// The fields of a run's "data" section.
struct DataConfig {
  std::string path;             ///< folder of pictures, of tar shards, or one shard
  std::int64_t size = 256;      ///< pixels a side that pictures are fitted to
  std::string crop = "center";  ///< none, center or random
  bool flip = false;            ///< mirror half of the pictures
  std::int64_t patch = 0;       ///< autoencoders learn from a random patch of this side; 0: all
  bool shuffle = true;

  template <class V>
  void visit(V&& v) {
    v("path", path);
    v("size", size);
    v("crop", crop);
    v("flip", flip);
    v("patch", patch);
    v("shuffle", shuffle);
  }
  void validate(const std::string& where) const;
};

/// The pictures of a run by sample number, from the data set that its configuration names.
class PictureReader {
 public:
  /// Error::input for a data set that cannot be used.
  explicit PictureReader(const RunConfig& config,
                         const DatasetOptions& options = {.captions = false});

  /// [B, 3, size, size] fp32 in [-1, 1].
  at::Tensor pictures(SampleRange range);
  /// [B, 3, patch, patch]: where a patch lies is keyed by the sample's number.
  at::Tensor patches(SampleRange range);
  /// With captions and labels.
  Batch batch(SampleRange range);

  const Dataset& dataset() const { return *dataset_; }
  const SampleOrder& order() const { return order_; }
  const DataConfig& data() const { return data_; }
  /// "NAME: reason" of every picture that could not be read.
  std::vector<std::string> skipped() const;

 private:
  DataConfig data_;
  std::uint64_t seed_;
  std::unique_ptr<Dataset> dataset_;
  SampleOrder order_;
  BatchLoader loader_;
};

}  // namespace ldm::train
