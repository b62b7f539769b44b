#pragma once

#include <algorithm>
#include <barrier>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <thread>
#include <vector>

// Just enough of CUDA to compile a .cuh of src/kernels/cuda for the CPU and run it there: blocks
// one after another, a thread for each thread of a block. Included before the .cuh.

#define __global__
#define __device__
#define __launch_bounds__(threads, blocks)
#define LDM_SHARED_MEMORY(type, name) \
  type* name = reinterpret_cast<type*>(ldm::test::cuda_block->shared.data())

namespace ldm::test {

struct CudaIndex {
  unsigned x = 0, y = 0;
};

/// What the threads of the running block share.
struct CudaBlock {
  CudaBlock(unsigned threads, std::size_t shared_bytes)
      : barrier(static_cast<std::ptrdiff_t>(threads)),
        shared((shared_bytes + sizeof(double) - 1) / sizeof(double)),
        exchanged(threads) {
    for (unsigned first = 0; first < threads; first += kWarp) {
      warps.emplace_back(std::min(kWarp, threads - first));
    }
  }
  static constexpr unsigned kWarp = 32;
  std::barrier<> barrier;
  std::deque<std::barrier<>> warps;
  std::vector<double> shared;
  std::vector<float> exchanged;
};

inline thread_local CudaBlock* cuda_block = nullptr;

}  // namespace ldm::test

inline thread_local ldm::test::CudaIndex threadIdx, blockIdx, blockDim, gridDim;

inline void __syncthreads() { ldm::test::cuda_block->barrier.arrive_and_wait(); }

inline float __shfl_xor_sync(unsigned, float value, int mask) {
  ldm::test::CudaBlock& block = *ldm::test::cuda_block;
  std::barrier<>& warp = block.warps[threadIdx.x / ldm::test::CudaBlock::kWarp];
  block.exchanged[threadIdx.x] = value;
  warp.arrive_and_wait();
  const float other = block.exchanged[threadIdx.x ^ static_cast<unsigned>(mask)];
  warp.arrive_and_wait();
  return other;
}

inline float __expf(float x) { return std::exp(x); }
inline float __fdividef(float x, float y) { return x / y; }

namespace ldm::test {

/// Runs kernels as `kernel<<<grid, threads, shared_bytes>>>(arguments)` would.
struct CpuLauncher {
  template <typename Arguments>
  void operator()(void (*kernel)(Arguments), unsigned grid_x, unsigned grid_y, unsigned threads,
                  std::size_t shared_bytes, const Arguments& arguments) const {
    CudaBlock block(threads, shared_bytes);
    const auto run = [&](unsigned thread) {
      cuda_block = &block;
      threadIdx = {thread, 0};
      blockDim = {threads, 1};
      gridDim = {grid_x, grid_y};
      for (unsigned job = 0; job < grid_x * grid_y; ++job) {
        blockIdx = {job % grid_x, job / grid_x};
        kernel(arguments);
        // No block may begin while another still reads what they share.
        __syncthreads();
      }
    };
    std::vector<std::thread> workers;
    for (unsigned thread = 0; thread < threads; ++thread) workers.emplace_back(run, thread);
    for (std::thread& worker : workers) worker.join();
  }
};

}  // namespace ldm::test
