#include "ldm/kernels/int8_linear.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/round.h>
#include <ATen/ops/where.h>

#include <algorithm>
#include <vector>

#include "ldm/kernels/cpu/int8_kernel.h"
#include "ldm/kernels/cpu/isa.h"
#include "ldm/kernels/parallel.h"

namespace ldm {
namespace {

/// Bytes of an input in 8 bits that stay in a core's cache while all columns pass.
constexpr std::int64_t kBlockBytes = 512 << 10;
/// Rows that the kernels multiply together.
constexpr std::int64_t kTileRows = 6;
/// Products that are worth waking a thread for.
constexpr std::int64_t kLeastProducts = 1 << 22;
constexpr std::int64_t kLeastElements = 1 << 15;

const cpu::Int8Kernel* kernel_for(at::ScalarType dtype) {
  if (!cpu::has_avx512_vnni()) return nullptr;
  if (dtype == at::kFloat) return &cpu::int8_avx512_vnni();
  const bool bf16 = dtype == at::kBFloat16 && cpu::has_avx512_bf16() && !cpu::has_amx_bf16();
  return bf16 ? &cpu::int8_avx512_vnni_bf16() : nullptr;
}

constexpr std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// An input in 8 bits.
struct Quantized {
  at::Tensor values;  ///< int8 [rows, in]
  at::Tensor scales;  ///< fp32 [rows]
  at::Tensor sums;    ///< int32 [rows]

  cpu::Int8Rows rows(std::int64_t first, std::int64_t count) const {
    return {values.const_data_ptr<std::int8_t>() + first * values.size(1),
            scales.const_data_ptr<float>() + first, sums.const_data_ptr<std::int32_t>() + first,
            count};
  }
};

Quantized quantize(const cpu::Int8Kernel& kernel, const at::Tensor& x) {
  const std::int64_t in = x.size(-1), rows = x.numel() / in;
  const at::Tensor input = x.contiguous();
  const Quantized out{at::empty({rows, in}, at::kChar), at::empty({rows}, at::kFloat),
                      at::empty({rows}, at::kInt)};
  const auto* from = static_cast<const std::byte*>(input.const_data_ptr());
  auto* values = out.values.mutable_data_ptr<std::int8_t>();
  auto* scales = out.scales.mutable_data_ptr<float>();
  auto* sums = out.sums.mutable_data_ptr<std::int32_t>();
  at::parallel_for(0, rows, divide_up(kLeastElements, in), [&](auto first, auto end) {
    kernel.quantize(from + first * in * x.element_size(), end - first, in, values + first * in,
                    scales + first, sums + first);
  });
  return out;
}

/// Calls `job` for blocks of rows and, within each, all columns: (first row, rows, column).
template <class Job>
void parallel_jobs(std::int64_t rows, std::int64_t in, std::int64_t columns, std::int64_t width,
                   const Job& job) {
  if (rows == 0) return;
  const std::int64_t blocks = divide_up(rows * in, kBlockBytes);
  const std::int64_t size = divide_up(divide_up(rows, blocks), kTileRows) * kTileRows;
  const std::int64_t grain = divide_up(kLeastProducts, size * in * width);
  at::parallel_for(0, divide_up(rows, size) * columns, grain, [&](auto first, auto end) {
    for (std::int64_t i = first; i < end; ++i) {
      const std::int64_t row = i / columns * size;
      job(row, std::min(size, rows - row), i % columns);
    }
  });
}

/// The scales [out], then the columns one after the other.
struct PackedWeight {
  PackedWeight(const at::Tensor& packed, std::int64_t out)
      : scales(reinterpret_cast<const float*>(packed.const_data_ptr<std::uint8_t>())),
        numbers(packed.const_data_ptr<std::uint8_t>() + out * 4) {}

  const float* scales;
  const std::uint8_t* numbers;
};

at::Tensor pack_rows(const cpu::Int8Kernel& kernel, const at::Tensor& weight) {
  const std::int64_t out = weight.size(0), in = weight.size(1);
  const at::Tensor packed = at::empty({out * 4 + out * in}, at::kByte);
  auto* data = packed.mutable_data_ptr<std::uint8_t>();
  const auto* from = static_cast<const std::byte*>(weight.const_data_ptr());
  at::parallel_for(0, divide_up(out, kernel.column), 1, [&](auto first, auto end) {
    for (std::int64_t column = first; column < end; ++column) {
      const std::int64_t channel = column * kernel.column;
      kernel.pack(from + channel * in * weight.element_size(), in,
                  std::min(kernel.column, out - channel), data + out * 4 + channel * in,
                  reinterpret_cast<float*>(data) + channel);
    }
  });
  return packed;
}

/// A bias as the kernels add it.
at::Tensor in_fp32(const at::Tensor& bias) {
  return bias.defined() ? bias.to(at::kFloat).contiguous() : at::Tensor();
}

const float* floats(const at::Tensor& tensor, std::int64_t first) {
  return tensor.defined() ? tensor.const_data_ptr<float>() + first : nullptr;
}

at::Tensor output_for(const at::Tensor& x, std::int64_t out) {
  std::vector<std::int64_t> shape = x.sizes().vec();
  shape.back() = out;
  return at::empty(shape, x.options());
}

/// y [..., out] of x [..., in]: `multiply` computes the columns of a packed weight, of so many
/// outputs each, for some rows: (rows, first output, where it goes in y).
template <class Multiply>
at::Tensor multiply_columns(const cpu::Int8Kernel& kernel, const at::Tensor& x, std::int64_t out,
                            std::int64_t outputs, const Multiply& multiply) {
  const Quantized input = quantize(kernel, x);
  const at::Tensor y = output_for(x, out);
  auto* to = static_cast<std::byte*>(y.mutable_data_ptr());
  parallel_jobs(input.values.size(0), x.size(-1), divide_up(out, outputs), kernel.column,
                [&](std::int64_t row, std::int64_t count, std::int64_t column) {
                  const std::int64_t channel = column * outputs;
                  multiply(input.rows(row, count), channel,
                           to + (row * out + channel) * x.element_size());
                });
  return y;
}

/// Each row · 127 / m in whole numbers, and m / 127.
std::pair<at::Tensor, at::Tensor> rounded_rows(const at::Tensor& x) {
  const at::Tensor rows = x.to(at::kFloat);
  const at::Tensor most = rows.abs().amax(-1, /*keepdim=*/true);
  const at::Tensor inverse = at::where(most < 1e-30, 0.0, 127.0F / most);
  return {at::round(rows * inverse), at::where(most < 1e-30, 0.0, most / 127.0F)};
}

}  // namespace

bool int8_serves(const at::Tensor& weight) {
  if (!weight.device().is_cpu()) return false;
  const cpu::Int8Kernel* kernel = kernel_for(weight.scalar_type());
  const bool matrix =
      weight.dim() == 2 || (weight.dim() == 4 && weight.size(2) == 1 && weight.size(3) == 1);
  return kernel != nullptr && matrix && weight.size(0) % kernel->lanes == 0 &&
         weight.size(1) % kernel->lanes == 0;
}

bool int8_gated_serves(const at::Tensor& weight) {
  return int8_serves(weight) && weight.size(0) % kernel_for(weight.scalar_type())->column == 0;
}

at::Tensor int8_pack_linear(const at::Tensor& weight) {
  return pack_rows(*kernel_for(weight.scalar_type()), weight.flatten(1).contiguous());
}

at::Tensor int8_linear(const at::Tensor& x, const at::Tensor& packed, std::int64_t out,
                       const at::Tensor& bias) {
  const cpu::Int8Kernel& kernel = *kernel_for(x.scalar_type());
  const std::int64_t in = x.size(-1);
  const PackedWeight weight(packed, out);
  const at::Tensor biases = in_fp32(bias);
  return multiply_columns(
      kernel, x, out, kernel.column, [&](const cpu::Int8Rows& rows, std::int64_t channel, void* y) {
        kernel.multiply(rows, weight.numbers + channel * in, in,
                        std::min(kernel.column, out - channel),
                        {weight.scales + channel, floats(biases, channel)}, y, out);
      });
}

at::Tensor int8_pack_gated(const at::Tensor& weight) {
  const cpu::Int8Kernel& kernel = *kernel_for(weight.scalar_type());
  // A column has as many values as gates, of the same outputs.
  const std::int64_t half = kernel.column / 2, in = weight.size(1);
  const at::Tensor mixed = weight.unflatten(0, {2, -1, half}).transpose(0, 1);
  return pack_rows(kernel, mixed.reshape({weight.size(0), in}));
}

at::Tensor int8_linear_gated(const at::Tensor& x, const at::Tensor& packed, std::int64_t out,
                             const at::Tensor& bias) {
  const cpu::Int8Kernel& kernel = *kernel_for(x.scalar_type());
  const std::int64_t in = x.size(-1), half = kernel.column / 2;
  const PackedWeight weight(packed, 2 * out);
  const at::Tensor biases = in_fp32(bias);
  return multiply_columns(
      kernel, x, out, half, [&](const cpu::Int8Rows& rows, std::int64_t channel, void* y) {
        const std::int64_t first = 2 * channel;  // a value and a gate an output
        kernel.multiply_gated(
            rows, weight.numbers + first * in, in, {weight.scales + first, floats(biases, channel)},
            {weight.scales + first + half, floats(biases, out + channel)}, y, out);
      });
}

at::Tensor int8_linear_plainly(const at::Tensor& x, const at::Tensor& weight,
                               const at::Tensor& bias) {
  const auto [left, left_scale] = rounded_rows(x);
  const auto [right, right_scale] = rounded_rows(weight);
  const at::Tensor sums = at::matmul(left.to(at::kDouble), right.to(at::kDouble).t());
  const at::Tensor y = sums * left_scale.to(at::kDouble) * right_scale.to(at::kDouble).t();
  return (bias.defined() ? y + bias.to(at::kDouble) : y).to(at::kFloat);
}

}  // namespace ldm
