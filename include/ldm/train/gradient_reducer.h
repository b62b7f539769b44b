#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <memory>
#include <vector>

#include "ldm/train/process_group.h"

namespace ldm::train {

/// Averages gradients over a process group while backward goes on, as DistributedDataParallel does
/// (Li et al. 2020, "PyTorch Distributed"): parameters in reverse order fill buckets, and a bucket
/// is on its way as soon as backward has accumulated the last of its gradients.
///
///     for each micro-batch: { if (last) reducer.begin(); loss.backward(); }
///     reducer.finish();
///
/// Only gradients that stand when `begin`'s backward accumulates them are sent, so backward before
/// `begin` costs no traffic (DDP's no_sync). Buckets are always all reduced, in the same order, and
/// the averages are bitwise equal on all ranks. With a group of one nothing is hooked or copied.
class GradientReducer {
 public:
  static constexpr std::size_t kBucketBytes = std::size_t{25} << 20U;

  /// Hooks those of `parameters` that require gradients (fp32, fp64, fp16, bf16; dense); the list
  /// is the same on all ranks. Half precision is added up in fp32. Throws Error::internal for a
  /// parameter that another reducer has hooked.
  GradientReducer(const std::vector<at::Tensor>& parameters, std::shared_ptr<ProcessGroup> group,
                  std::size_t bucket_bytes = kBucketBytes);
  ~GradientReducer();
  GradientReducer(const GradientReducer&) = delete;
  GradientReducer& operator=(const GradientReducer&) = delete;

  /// The next backward is the last before `finish`: its hooks send the gradients. A parameter that
  /// it accumulates more than once (used in two checkpointed segments) makes backward throw
  /// Error::internal; without `begin`, `finish` sends all and there is no overlap.
  void begin();

  /// Sends what was not sent, waits, and writes the averages (sum / ranks) into the gradients. A
  /// gradient that is undefined here counts as zero; one that is undefined on all ranks stays so.
  /// A NaN on one rank is a NaN on all, so that all skip the step.
  void finish();

  std::size_t bucket_count() const;

 private:
  class Hook;
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace ldm::train
