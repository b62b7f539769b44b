// A plugin in place of libldm_cuda.so that says what LDM_FAKE_CUDA names: what ldm-gen makes of it
// is tested without a GPU.
#include <cstdio>

#include "ldm/core/cuda_plugin.h"

namespace {

constexpr int kDriver = 12020;
constexpr int kRuntime = 13000;
constexpr int kInsufficientDriver = 35;

// NOLINTNEXTLINE(modernize-use-trailing-return-type)
const LdmCudaApi* make() {
  static LdmCudaApi api{};
  api.abi = LDM_FAKE_CUDA == 1 ? kLdmCudaAbi + 1 : kLdmCudaAbi;
  api.driver_version = [] { return kDriver; };
  api.runtime_version = [] { return kRuntime; };
  api.device_count = [] {
    if (LDM_FAKE_CUDA == 2) return 0;
    return LDM_FAKE_CUDA == 3 ? -kInsufficientDriver : 2;
  };
  api.device_capability = [](int) { return 90; };
  api.error_text = [](int error) {
    return error == kInsufficientDriver ? "CUDA driver version is insufficient" : "unknown";
  };
  return &api;
}

}  // namespace

#if LDM_FAKE_CUDA != 4
extern "C" const LdmCudaApi* ldm_cuda_api() { return make(); }
#else
extern "C" const LdmCudaApi* another_symbol() { return make(); }
#endif
