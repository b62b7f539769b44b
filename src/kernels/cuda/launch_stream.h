#pragma once

#include <cuda_runtime_api.h>

namespace ldm::cuda {

/// ATen's current stream of a device, which is the current one meanwhile. Its body is compiled
/// apart: nvcc need not read libtorch.
class LaunchStream {
 public:
  explicit LaunchStream(int device);
  ~LaunchStream();
  LaunchStream(const LaunchStream&) = delete;
  LaunchStream& operator=(const LaunchStream&) = delete;

  cudaStream_t get() const { return stream_; }

 private:
  int before_ = 0;
  cudaStream_t stream_ = nullptr;
};

}  // namespace ldm::cuda
