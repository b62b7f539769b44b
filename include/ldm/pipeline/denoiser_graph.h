#pragma once

#include <memory>

#include "ldm/core/cuda_plugin.h"

namespace at {
class Tensor;
}

namespace ldm {

struct Components;

/// Calls of a denoiser that a GPU computes from one recording (a CUDA graph): one launch in place
/// of several hundred, which take a CPU longer than a small batch takes the GPU.
class DenoiserGraph {
 public:
  /// `api` records; null: every call is computed plainly.
  explicit DenoiserGraph(const LdmCudaApi* api);
  ~DenoiserGraph();

  /// The prediction in fp32 of `components`' denoiser without residuals, as
  /// DenoiserImpl::denoise_embedded.
  /// It must not be observed, nor do anything in one call that it does not in the next. Plain for
  /// the first call with other weights, another shape or another text; recorded at the second.
  at::Tensor denoise(Components& components, const at::Tensor& sample, const at::Tensor& embedding,
                     const at::Tensor& context);

  /// Lets the recording and its memory go; the next call is a first one.
  void forget();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ldm
