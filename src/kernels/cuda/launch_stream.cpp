#include "launch_stream.h"

#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>

namespace ldm::cuda {

LaunchStream::LaunchStream(int device)
    : before_(c10::cuda::ExchangeDevice(static_cast<c10::DeviceIndex>(device))),
      stream_(c10::cuda::getCurrentCUDAStream(static_cast<c10::DeviceIndex>(device)).stream()) {}

LaunchStream::~LaunchStream() {
  c10::cuda::MaybeExchangeDevice(static_cast<c10::DeviceIndex>(before_));
}

}  // namespace ldm::cuda
