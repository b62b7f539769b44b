#pragma once

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <cstddef>

#include "gelu_gate.cuh"
#include "group_norm.cuh"
#include "layer_norm.cuh"
#include "ldm/kernels/cuda/blocks.h"
#include "ldm/kernels/cuda/launch.h"

// From a call to its kernels' grids. A launcher is called with a kernel, the grid's two sides, the
// threads of a block, the bytes they share and the kernel's argument.
namespace ldm::cuda {

/// Calls `launch` with a number of the dtype's C++ type.
template <typename Launch>
void by_dtype(LdmCudaDtype dtype, const Launch& launch) {
  if (dtype == kLdmCudaFp32) launch(float());
  if (dtype == kLdmCudaFp16) launch(c10::Half());
  if (dtype == kLdmCudaBf16) launch(c10::BFloat16());
}

template <typename T, typename Launcher>
void launch_group_norm_of(const LdmCudaGroupNorm& call, const Launcher& launcher) {
  const GroupNormBlocks blocks(call.rows, call.channels, kVector<T>);
  const GroupNormArguments<T> arguments{static_cast<const T*>(call.x),
                                        static_cast<const T*>(call.shift),
                                        static_cast<const T*>(call.weight),
                                        static_cast<const T*>(call.bias),
                                        call.partial,
                                        static_cast<T*>(call.y),
                                        static_cast<int>(call.rows),
                                        static_cast<int>(call.channels),
                                        static_cast<int>(call.groups),
                                        static_cast<float>(call.eps),
                                        call.silu};
  const auto chunks = static_cast<unsigned>(blocks.chunks);
  const auto pictures = static_cast<unsigned>(call.pictures);
  const auto threads = static_cast<unsigned>(blocks.threads());
  launcher(group_norm_moments<T>, chunks, pictures, threads,
           static_cast<std::size_t>(blocks.moments_bytes(kVector<T>)), arguments);
  launcher(group_norm_apply<T>, chunks, pictures, threads,
           2 * sizeof(float) * static_cast<std::size_t>(call.groups), arguments);
}

template <typename Launcher>
void launch_group_norm(const LdmCudaGroupNorm& call, const Launcher& launcher) {
  by_dtype(call.dtype,
           [&](auto number) { launch_group_norm_of<decltype(number)>(call, launcher); });
}

template <typename Launcher>
void launch_layer_norm(const LdmCudaLayerNorm& call, const Launcher& launcher) {
  by_dtype(call.dtype, [&](auto number) {
    using T = decltype(number);
    const LayerNormArguments<T> arguments{static_cast<const T*>(call.x),
                                          static_cast<const T*>(call.weight),
                                          static_cast<const T*>(call.bias),
                                          static_cast<T*>(call.y),
                                          call.rows,
                                          static_cast<int>(call.channels),
                                          static_cast<float>(call.eps)};
    launcher(layer_norm<T>, static_cast<unsigned>(blocks_for(call.rows * kWarp)), 1U,
             static_cast<unsigned>(kThreads), std::size_t{0}, arguments);
  });
}

template <typename Launcher>
void launch_gelu_gate(const LdmCudaGate& call, const Launcher& launcher) {
  by_dtype(call.dtype, [&](auto number) {
    using T = decltype(number);
    const GateArguments<T> arguments{static_cast<const T*>(call.x), static_cast<T*>(call.y),
                                     call.rows, static_cast<int>(call.channels)};
    launcher(gelu_gate<T>,
             static_cast<unsigned>(blocks_for(call.rows * call.channels / kVector<T>)), 1U,
             static_cast<unsigned>(kThreads), std::size_t{0}, arguments);
  });
}

}  // namespace ldm::cuda
