#pragma once

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <cstddef>

#include "gelu_gate.cuh"
#include "group_norm_apply.cuh"
#include "layer_norm.cuh"
#include "ldm/kernels/cuda/blocks.h"
#include "ldm/kernels/cuda/launch.h"
#include "sum.cuh"

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

/// Calls `launch` with a number of the result's C++ type: T, or e4m3.
template <typename T, typename Launch>
void by_result(bool e4m3, const Launch& launch) {
  if (e4m3) {
    launch(E4m3());
  } else {
    launch(T());
  }
}

template <typename T, typename Launcher>
void launch_group_norm_of(const LdmCudaGroupNorm& call, const Launcher& launcher) {
  const GroupNormBlocks blocks(call.rows, call.channels, kVector<T>);
  const GroupNormArguments<T> arguments{
      static_cast<const T*>(call.x),     static_cast<const T*>(call.before),
      static_cast<const T*>(call.shift), static_cast<const T*>(call.weight),
      static_cast<const T*>(call.bias),  call.partial,
      static_cast<T*>(call.y),           call.shift_stride,
      static_cast<int>(call.shift_rows), static_cast<int>(call.rows),
      static_cast<int>(call.channels),   static_cast<int>(call.groups),
      static_cast<float>(call.eps),      call.silu};
  const auto chunks = static_cast<unsigned>(blocks.chunks);
  const auto pictures = static_cast<unsigned>(call.pictures);
  const auto threads = static_cast<unsigned>(blocks.threads());
  launcher(group_norm_moments<T>, chunks, pictures, threads,
           static_cast<std::size_t>(blocks.moments_bytes(kVector<T>, call.groups)), arguments);
  launcher(group_norm_apply<T>, chunks, pictures, threads,
           static_cast<std::size_t>(GroupNormBlocks::folded_bytes(call.groups)), arguments);
}

template <typename Launcher>
void launch_group_norm(const LdmCudaGroupNorm& call, const Launcher& launcher) {
  by_dtype(call.dtype,
           [&](auto number) { launch_group_norm_of<decltype(number)>(call, launcher); });
}

template <typename T, typename Out, typename Launcher>
void launch_layer_norm_of(const LdmCudaLayerNorm& call, const Launcher& launcher) {
  const LayerNormBlocks blocks(call.channels / kVector<T>);
  const LayerNormArguments<T, Out> arguments{
      static_cast<const T*>(call.x),      static_cast<const T*>(call.before),
      static_cast<const T*>(call.addend), static_cast<T*>(call.sum),
      static_cast<const T*>(call.weight), static_cast<const T*>(call.bias),
      static_cast<Out*>(call.y),          call.rows,
      static_cast<int>(call.channels),    static_cast<int>(blocks.lanes),
      static_cast<float>(call.eps)};
  const auto grid = static_cast<unsigned>(blocks_for(call.rows * blocks.lanes));
  const auto launch = [&](void (*kernel)(LayerNormArguments<T, Out>)) {
    launcher(kernel, grid, 1U, static_cast<unsigned>(kThreads), std::size_t{0}, arguments);
  };
  launch(blocks.each == kRowVectors.front() ? layer_norm<T, Out, kRowVectors.front()>
                                            : layer_norm<T, Out, kRowVectors.back()>);
}

template <typename Launcher>
void launch_layer_norm(const LdmCudaLayerNorm& call, const Launcher& launcher) {
  by_dtype(call.dtype, [&](auto number) {
    using T = decltype(number);
    by_result<T>(call.e4m3,
                 [&](auto result) { launch_layer_norm_of<T, decltype(result)>(call, launcher); });
  });
}

/// Launches a kernel with a thread for each of so many vectors.
template <typename Arguments, typename Launcher>
void launch_vectors(void (*kernel)(Arguments), std::int64_t vectors, const Launcher& launcher,
                    const Arguments& arguments) {
  launcher(kernel, static_cast<unsigned>(blocks_for(vectors)), 1U, static_cast<unsigned>(kThreads),
           std::size_t{0}, arguments);
}

template <typename Launcher>
void launch_gelu_gate(const LdmCudaGate& call, const Launcher& launcher) {
  by_dtype(call.dtype, [&](auto number) {
    using T = decltype(number);
    const std::int64_t jobs = call.rows * call.channels / kVector<T>;
    by_result<T>(call.e4m3, [&](auto result) {
      using Out = decltype(result);
      const GateArguments<T, Out> arguments{
          static_cast<const T*>(call.x), static_cast<const T*>(call.bias),
          static_cast<Out*>(call.y), static_cast<unsigned>(jobs), static_cast<int>(call.channels)};
      launch_vectors(gelu_gate<T, Out>, jobs, launcher, arguments);
    });
  });
}

template <typename Launcher>
void launch_sum(const LdmCudaSum& call, const Launcher& launcher) {
  by_dtype(call.dtype, [&](auto number) {
    using T = decltype(number);
    const std::int64_t lanes = call.channels / kVector<T>, jobs = call.rows * lanes;
    launch_vectors(sum<T>, jobs, launcher,
                   SumArguments<T>{static_cast<T*>(call.x), static_cast<const T*>(call.bias),
                                   static_cast<const T*>(call.addend), static_cast<unsigned>(jobs),
                                   static_cast<unsigned>(lanes)});
  });
}

}  // namespace ldm::cuda
