#pragma once

#include <cstdint>

// The C interface between kernels/*.cpp, which never see CUDA, and the kernels in libldm_cuda.so.
// Pointers are of the device; x, weights and results have the same dtype, but for results in e4m3.
// Launches are asynchronous on ATen's current stream of the device; each returns 0 or the
// cudaError_t of its launch.
extern "C" {

enum LdmCudaDtype : std::int32_t { kLdmCudaFp32, kLdmCudaFp16, kLdmCudaBf16 };

/// Channels of a norm: whole vectors of 16 bytes, and so many that a row fits one block of threads.
constexpr std::int64_t kLdmCudaVectorBytes = 16;
constexpr std::int64_t kLdmCudaMostChannels = 4096;

struct LdmCudaGroupNorm {
  LdmCudaDtype dtype;
  int device;
  std::int64_t pictures;  ///< B
  std::int64_t rows;      ///< H·W
  std::int64_t channels;  ///< C
  std::int64_t groups;
  const void* x;              ///< [B, H·W, C]
  const void* before;         ///< [C], added to x first; may be null
  const void* shift;          ///< [shift_rows, C], added to x too, over and over; may be null
  std::int64_t shift_rows;    ///< a divisor of B
  std::int64_t shift_stride;  ///< numbers between two of its rows
  const void* weight;         ///< [C]
  const void* bias;           ///< [C]
  double eps;
  bool silu;
  float* partial;  ///< scratch of `ldm::cuda::partial_moments` numbers
  void* y;         ///< like x
};

struct LdmCudaLayerNorm {
  LdmCudaDtype dtype;
  int device;
  std::int64_t rows;
  std::int64_t channels;  ///< D
  const void* x;          ///< [rows, D]
  const void* before;     ///< [D], added to x first; may be null
  const void* addend;     ///< [rows, D], added to x too; may be null
  void* sum;              ///< x with what is added to it, like x; may be null, or x itself
  const void* weight;     ///< [D]
  const void* bias;       ///< [D]
  double eps;
  void* y;    ///< like x
  bool e4m3;  ///< y is in e4m3: as `fp8_of` rounds
};

struct LdmCudaGate {
  LdmCudaDtype dtype;
  int device;
  std::int64_t rows;
  std::int64_t channels;  ///< D
  const void* x;          ///< [rows, 2·D]: values, then gates
  const void* bias;       ///< [2·D], added to x first; may be null
  void* y;                ///< [rows, D]
  bool e4m3;              ///< as LdmCudaLayerNorm's
};

struct LdmCudaSum {
  LdmCudaDtype dtype;
  int device;
  std::int64_t rows;
  std::int64_t channels;  ///< D
  void* x;                ///< [rows, D], added to in place
  const void* bias;       ///< [D]; may be null
  const void* addend;     ///< [rows, D]; may be null
};

struct LdmCudaKernels {
  int (*group_norm)(const LdmCudaGroupNorm* call);
  int (*layer_norm)(const LdmCudaLayerNorm* call);
  int (*gelu_gate)(const LdmCudaGate* call);
  int (*sum)(const LdmCudaSum* call);
};
}
