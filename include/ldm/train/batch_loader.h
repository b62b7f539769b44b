#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ldm/train/dataset.h"
#include "ldm/train/fit_picture.h"
#include "ldm/train/sample_order.h"

namespace ldm::train {

/// A picture as networks read it: [3, H, W] fp32 in [-1, 1], x / 127.5 - 1.
at::Tensor picture_tensor(const Image& picture);

/// Consecutive samples of a run; element i of every member belongs to position first_position + i.
struct Batch {
  std::int64_t first_position = 0;
  at::Tensor pictures;                     ///< [B, 3, S, S] fp32 in [-1, 1], RGB, on the CPU
  std::vector<std::string> captions;       ///< empty strings without captions
  std::vector<std::int64_t> class_labels;  ///< -1 where there is none
  std::vector<nlohmann::json> attributes;
  std::vector<std::int64_t> samples;  ///< numbers in the data set
};

/// A picture that was left out.
struct SkippedPicture {
  std::string name;
  std::string reason;
};

/// Reads batches of a data set, the next one on other threads while this one is trained on.
///
/// A picture that cannot be read is replaced by the next readable one in the data set's own order,
/// which makes the batch the same whoever reads it. Not thread-safe itself.
class BatchLoader {
 public:
  /// `dataset` must outlive the loader. `threads` decode; with 0 `next` itself does.
  BatchLoader(const Dataset& dataset, const SampleOrder& order, const PictureOptions& options,
              std::uint64_t seed, int threads = 1);
  ~BatchLoader();

  /// The samples at positions first_position … + count - 1. Starts reading what should follow: as
  /// far ahead as this call was ahead of the last (at first, directly after it), so processes that
  /// take turns are served too. Throws Error::input when no picture at all can be read.
  Batch next(std::int64_t first_position, std::int64_t count);

  /// Every unreadable picture met so far, once each, in the order of the data set.
  std::vector<SkippedPicture> skipped() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ldm::train
