#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ldm/io/tensor_source.h"

namespace ldm {

/// One low-rank change of a weight, its factors still in their file.
struct LowRankUpdate {
  std::shared_ptr<const TensorSource> source;
  std::string up;    ///< [out, rank] or [out, rank, 1, 1]
  std::string mid;   ///< [rank, rank, k, k], or empty
  std::string down;  ///< [rank, in], [rank, in, k, k], or [rank, in, 1, 1] with a mid
  double scale = 1.0;
};

/// What is added to weights while they load, by parameter name.
using WeightUpdates = std::map<std::string, std::vector<LowRankUpdate>, std::less<>>;

/// scale · up · down, or scale · up · mid · down (Hu et al. 2021; the convolutions of LoCon), fp32
/// of shape [out, in] or [out, in, k, k]. Error::model naming the file for values that are not
/// finite.
at::Tensor low_rank_change(const LowRankUpdate& update, at::IntArrayRef shape);

}  // namespace ldm
