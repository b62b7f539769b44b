#pragma once

#include <cstdint>

namespace ldm::cpu {

/// Largest D that the kernels serve.
inline constexpr std::int64_t kMostDim = 1024;

/// One matrix a head, [rows, D] with D contiguous, as its elements' strides.
struct HeadMatrix {
  const void* data = nullptr;
  std::int64_t batch_stride = 0;
  std::int64_t head_stride = 0;
  std::int64_t row_stride = 0;
};

/// The sizes of an attention.
struct AttentionShape {
  std::int64_t heads = 0;
  std::int64_t queries = 0;
  std::int64_t keys = 0;
  std::int64_t dim = 0;
};

/// An attention's kernel for one instruction set and element type. All work is cut into jobs that
/// any threads may do: one head a packing job, one block of rows of one head an attending job.
/// Heads are numbered over the batch: b · H + h.
struct AttentionKernel {
  /// 32-bit words that a packed head's keys and values take.
  std::int64_t (*words_per_head)(const AttentionShape& shape);
  /// Packs the keys and values of head `head` into `words`.
  void (*pack)(const AttentionShape& shape, const HeadMatrix& key, const HeadMatrix& value,
               std::int64_t head, std::uint32_t* words);
  /// Bytes of scratch memory that a thread needs.
  std::int64_t (*scratch_bytes)(const AttentionShape& shape);
  /// Row blocks a head.
  std::int64_t (*blocks)(const AttentionShape& shape);
  /// Computes rows of block `block` of head `head`; `words` are that head's. Writes to `output`.
  void (*attend)(const AttentionShape& shape, const HeadMatrix& query, const std::uint32_t* words,
                 const HeadMatrix& output, std::int64_t head, std::int64_t block, void* scratch);
};

/// fp32 elements, 8 lanes; needs AVX2 and FMA.
const AttentionKernel& attention_avx2();
/// fp32 elements, 16 lanes; needs AVX-512 F, BW, DQ and VL.
const AttentionKernel& attention_avx512();
/// bf16 elements, fp32 sums, 16 lanes; needs AVX512-BF16 besides.
const AttentionKernel& attention_avx512_bf16();

}  // namespace ldm::cpu
