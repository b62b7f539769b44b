#include "ldm/kernels/norm.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "ldm/kernels/cpu/isa.h"
#include "ldm/kernels/cpu/norm_kernel.h"
#include "ldm/kernels/cuda/blocks.h"
#include "ldm/kernels/cuda_operators.h"
#include "ldm/kernels/fp8_linear.h"
#include "ldm/kernels/parallel.h"

namespace ldm {
namespace {

/// Bytes of a block of rows: one thread's share of work, small enough to stay in its cache.
constexpr std::int64_t kBlockBytes = 1 << 16;

const cpu::NormKernel* kernel_for(at::ScalarType dtype) {
  return cpu::fastest_kernel(dtype, cpu::norm_avx2, cpu::norm_avx512, cpu::norm_avx512_bf16);
}

at::Tensor fp32(const at::Tensor& x) { return x.to(at::kFloat).contiguous(); }

/// [B, C], or undefined where nothing is added.
at::Tensor sum_of_shifts(const GroupNormShifts& shifts, std::int64_t pictures) {
  if (!shifts.shift.defined()) {
    return shifts.bias.defined() ? shifts.bias.expand({pictures, -1}) : shifts.bias;
  }
  const at::Tensor sum = shifts.bias.defined() ? shifts.shift + shifts.bias : shifts.shift;
  return sum.size(0) == pictures ? sum : sum.repeat({pictures / sum.size(0), 1});
}

/// Rows of one picture, cut into blocks.
struct Blocks {
  Blocks(std::int64_t all_rows, std::int64_t row_bytes)
      : rows(all_rows),
        size(std::clamp<std::int64_t>(kBlockBytes / row_bytes, 1, all_rows)),
        count((rows + size - 1) / size) {}
  std::int64_t first(std::int64_t block) const { return block * size; }
  std::int64_t length(std::int64_t block) const { return std::min(size, rows - first(block)); }

  std::int64_t rows, size, count;
};

/// Scale and shift [C] each of one picture, from its blocks' sums [blocks, 2, C].
void fold(const float* sums, const Blocks& blocks, std::int64_t channels, std::int64_t groups,
          const float* weight, const float* bias, const float* add, double eps, float* scale,
          float* shift) {
  const std::int64_t width = channels / groups;
  const double count = static_cast<double>(width * blocks.rows);
  for (std::int64_t g = 0; g < groups; ++g) {
    double sum = 0, square = 0;
    for (std::int64_t block = 0; block < blocks.count; ++block) {
      const float* of_block = sums + block * 2 * channels + g * width;
      for (std::int64_t c = 0; c < width; ++c) {
        sum += of_block[c];
        square += of_block[channels + c];
      }
    }
    const double mean = sum / count;
    const double factor = 1.0 / std::sqrt(std::max(0.0, square / count - mean * mean) + eps);
    for (std::int64_t c = g * width; c < (g + 1) * width; ++c) {
      scale[c] = static_cast<float>(factor * weight[c]);
      const double from = mean - (add == nullptr ? 0.0 : add[c]);
      shift[c] = static_cast<float>(bias[c] - from * factor * weight[c]);
    }
  }
}

}  // namespace

bool norm_serves(const at::Tensor& x) {
  if (x.is_cuda()) return cuda::loaded_kernels() != nullptr && cuda::serves_norm(x);
  if (!x.device().is_cpu() || x.numel() == 0) return false;
  const cpu::NormKernel* kernel = kernel_for(x.scalar_type());
  const std::int64_t channels = x.dim() == 4 ? x.size(1) : x.size(-1);
  if (kernel == nullptr || channels % kernel->lanes != 0) return false;
  return x.is_contiguous(x.dim() == 4 ? at::MemoryFormat::ChannelsLast
                                      : at::MemoryFormat::Contiguous);
}

bool groups_serve(std::int64_t groups) { return groups <= cuda::kMostGroups; }

at::Tensor group_norm_silu(const at::Tensor& x, std::int64_t groups, const at::Tensor& weight,
                           const at::Tensor& bias, double eps, bool silu,
                           const GroupNormShifts& shifts) {
  if (x.is_cuda()) {
    return cuda::group_norm_silu(*cuda::loaded_kernels(), x, groups, weight, bias, eps, silu,
                                 shifts);
  }
  const at::Tensor shift = sum_of_shifts(shifts, x.size(0));
  const cpu::NormKernel& kernel = *kernel_for(x.scalar_type());
  const std::int64_t pictures = x.size(0), channels = x.size(1);
  const std::int64_t row_bytes = channels * static_cast<std::int64_t>(x.element_size());
  const Blocks blocks(x.size(2) * x.size(3), row_bytes);
  const at::Tensor sums = at::empty({pictures, blocks.count, 2, channels}, at::kFloat);
  const at::Tensor folded = at::empty({pictures, 2, channels}, at::kFloat);
  const at::Tensor weights = fp32(weight), biases = fp32(bias);
  const at::Tensor adds = shift.defined() ? fp32(shift) : at::Tensor();
  const at::Tensor y = at::empty_like(x);
  const auto* from = static_cast<const std::byte*>(x.const_data_ptr());
  auto* to = static_cast<std::byte*>(y.mutable_data_ptr());
  const float* add = adds.defined() ? adds.const_data_ptr<float>() : nullptr;
  float* sum = sums.mutable_data_ptr<float>();
  float* scale = folded.mutable_data_ptr<float>();
  const auto each_block = [&](const auto& visit) {
    at::parallel_for(0, pictures * blocks.count, 1, [&](std::int64_t first, std::int64_t end) {
      for (std::int64_t job = first; job < end; ++job) {
        const std::int64_t picture = job / blocks.count, block = job % blocks.count;
        visit(job, picture, (picture * blocks.rows + blocks.first(block)) * row_bytes,
              blocks.length(block));
      }
    });
  };
  each_block([&](std::int64_t job, std::int64_t picture, std::int64_t at, std::int64_t rows) {
    float* out = sum + job * 2 * channels;
    kernel.moments(from + at, add == nullptr ? nullptr : add + picture * channels, rows, channels,
                   out, out + channels);
  });
  for (std::int64_t b = 0; b < pictures; ++b) {
    fold(sum + b * blocks.count * 2 * channels, blocks, channels, groups,
         weights.const_data_ptr<float>(), biases.const_data_ptr<float>(),
         add == nullptr ? nullptr : add + b * channels, eps, scale + b * 2 * channels,
         scale + (b * 2 + 1) * channels);
  }
  each_block([&](std::int64_t, std::int64_t picture, std::int64_t at, std::int64_t rows) {
    const float* of_picture = scale + picture * 2 * channels;
    kernel.scale_and_shift(from + at, of_picture, of_picture + channels, rows, channels, silu,
                           to + at);
  });
  return y;
}

at::Tensor fast_layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                           double eps) {
  if (x.is_cuda()) {
    PendingSum alone{x};
    return cuda::layer_norm(*cuda::loaded_kernels(), alone, weight, bias, eps);
  }
  const cpu::NormKernel& kernel = *kernel_for(x.scalar_type());
  const std::int64_t channels = x.size(-1);
  const std::int64_t row_bytes = channels * static_cast<std::int64_t>(x.element_size());
  const at::Tensor weights = fp32(weight), biases = fp32(bias);
  const at::Tensor y = at::empty_like(x);
  const auto* from = static_cast<const std::byte*>(x.const_data_ptr());
  auto* to = static_cast<std::byte*>(y.mutable_data_ptr());
  const float* scale = weights.const_data_ptr<float>();
  const float* shift = biases.const_data_ptr<float>();
  at::parallel_for(0, x.numel() / channels, std::max<std::int64_t>(1, kBlockBytes / row_bytes),
                   [&](std::int64_t first, std::int64_t end) {
                     kernel.layer_norm(from + first * row_bytes, scale, shift,
                                       static_cast<float>(eps), end - first, channels,
                                       to + first * row_bytes);
                   });
  return y;
}

at::Tensor layer_norm_of_sum(PendingSum& x, const at::Tensor& weight, const at::Tensor& bias,
                             double eps, bool e4m3) {
  if (x.value.is_cuda() && cuda::serves_sum(x)) {
    return cuda::layer_norm(*cuda::loaded_kernels(), x, weight, bias, eps, e4m3);
  }
  x = {take(x)};
  const at::Tensor y = fast_layer_norm(x.value, weight, bias, eps);
  return e4m3 ? fp8_of(y) : y;
}

}  // namespace ldm
