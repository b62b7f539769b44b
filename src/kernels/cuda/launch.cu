#include <cuda_runtime_api.h>

#include "launch_stream.h"

/// The block's dynamic shared memory; every kernel declares it alike.
#define LDM_SHARED_MEMORY(type, name)           \
  extern __shared__ double ldm_shared_memory[]; \
  type* name = reinterpret_cast<type*>(ldm_shared_memory)

#include "launches.cuh"

namespace ldm::cuda {
namespace {

/// Whether the code that a device runs has `wait_for_kernels_before` in it.
template <typename Arguments>
bool waits_itself(void (*kernel)(Arguments)) {
  cudaFuncAttributes attributes{};
  return cudaFuncGetAttributes(&attributes, kernel) == cudaSuccess && attributes.ptxVersion >= 90;
}

/// Launches on ATen's current stream of a device. Where it can, a kernel's blocks come while those
/// of the one before it end.
class StreamLauncher {
 public:
  explicit StreamLauncher(int device) : stream_(device) {}

  template <typename Arguments>
  void operator()(void (*kernel)(Arguments), unsigned grid_x, unsigned grid_y, unsigned threads,
                  std::size_t shared_bytes, const Arguments& arguments) const {
    cudaLaunchAttribute early{};
    early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    early.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config{};
    config.gridDim = dim3(grid_x, grid_y);
    config.blockDim = dim3(threads);
    config.dynamicSmemBytes = shared_bytes;
    config.stream = stream_.get();
    config.attrs = &early;
    config.numAttrs = waits_itself(kernel) ? 1 : 0;
    cudaLaunchKernelEx(&config, kernel, arguments);
  }

 private:
  LaunchStream stream_;
};

int group_norm_on_stream(const LdmCudaGroupNorm* call) {
  launch_group_norm(*call, StreamLauncher(call->device));
  return static_cast<int>(cudaGetLastError());
}

int layer_norm_on_stream(const LdmCudaLayerNorm* call) {
  launch_layer_norm(*call, StreamLauncher(call->device));
  return static_cast<int>(cudaGetLastError());
}

int gelu_gate_on_stream(const LdmCudaGate* call) {
  launch_gelu_gate(*call, StreamLauncher(call->device));
  return static_cast<int>(cudaGetLastError());
}

int sum_on_stream(const LdmCudaSum* call) {
  launch_sum(*call, StreamLauncher(call->device));
  return static_cast<int>(cudaGetLastError());
}

}  // namespace

extern const LdmCudaKernels kKernels;
const LdmCudaKernels kKernels = {group_norm_on_stream, layer_norm_on_stream, gelu_gate_on_stream,
                                 sum_on_stream};

}  // namespace ldm::cuda
