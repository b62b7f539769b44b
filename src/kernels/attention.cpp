#include "ldm/kernels/attention.h"

#include <ATen/ops/empty.h>

#include <memory>

#include "ldm/core/error.h"
#include "ldm/kernels/cpu/attention_kernel.h"
#include "ldm/kernels/cpu/isa.h"
#include "ldm/kernels/parallel.h"

namespace ldm {
namespace {

const cpu::AttentionKernel* kernel_for(at::ScalarType dtype) {
  return cpu::fastest_kernel(dtype, cpu::attention_avx2, cpu::attention_avx512,
                             cpu::attention_avx512_bf16);
}

cpu::HeadMatrix head_matrix(const at::Tensor& x) {
  if (x.stride(3) != 1) throw Error::internal("attention: the last dimension is not contiguous");
  return {x.const_data_ptr(), x.stride(0), x.stride(1), x.stride(2)};
}

}  // namespace

bool attention_serves(const at::Tensor& query) {
  return query.device().is_cpu() && query.size(-1) <= cpu::kMostDim &&
         kernel_for(query.scalar_type()) != nullptr;
}

PackedKeyValue pack_key_value(const at::Tensor& key, const at::Tensor& value) {
  const cpu::AttentionKernel& kernel = *kernel_for(key.scalar_type());
  PackedKeyValue packed;
  packed.dtype = key.scalar_type();
  packed.batch = key.size(0);
  packed.heads = key.size(1);
  packed.length = key.size(2);
  packed.dim = key.size(3);
  const cpu::AttentionShape shape{packed.heads, 0, packed.length, packed.dim};
  const std::int64_t words = kernel.words_per_head(shape);
  packed.words = at::empty({packed.batch * packed.heads, words}, at::kInt);
  const cpu::HeadMatrix keys = head_matrix(key);
  const cpu::HeadMatrix values = head_matrix(value);
  auto* data = static_cast<std::uint32_t*>(packed.words.mutable_data_ptr());
  at::parallel_for(0, packed.batch * packed.heads, 1, [&](std::int64_t first, std::int64_t end) {
    for (std::int64_t head = first; head < end; ++head) {
      kernel.pack(shape, keys, values, head, data + head * words);
    }
  });
  return packed;
}

at::Tensor attention(const at::Tensor& query, const PackedKeyValue& context) {
  const cpu::AttentionKernel& kernel = *kernel_for(context.dtype);
  const std::int64_t queries = query.size(2);
  const at::Tensor output =
      at::empty({context.batch, queries, context.heads, context.dim}, query.options())
          .transpose(1, 2);
  const cpu::AttentionShape shape{context.heads, queries, context.length, context.dim};
  const cpu::HeadMatrix from = head_matrix(query);
  const cpu::HeadMatrix to = head_matrix(output);
  const auto* words = static_cast<const std::uint32_t*>(context.words.const_data_ptr());
  const std::int64_t words_per_head = context.words.size(1);
  const std::int64_t blocks = kernel.blocks(shape);
  at::parallel_for(
      0, context.batch * context.heads * blocks, 1, [&](std::int64_t first, std::int64_t end) {
        const auto scratch =
            std::make_unique<std::byte[]>(static_cast<std::size_t>(kernel.scratch_bytes(shape)));
        for (std::int64_t job = first; job < end; ++job) {
          const std::int64_t head = job / blocks;
          kernel.attend(shape, from, words + head * words_per_head, to, head, job % blocks,
                        scratch.get());
        }
      });
  return output;
}

at::Tensor attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value) {
  return attention(query, pack_key_value(key, value));
}

}  // namespace ldm
