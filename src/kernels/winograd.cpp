#include "ldm/kernels/winograd.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cstddef>
#include <memory>

#include "ldm/kernels/cpu/isa.h"
#include "ldm/kernels/cpu/transpose_taps.h"
#include "ldm/kernels/cpu/winograd_kernel.h"
#include "ldm/kernels/parallel.h"

namespace ldm {
namespace {

/// Filters of at most so many pairs of channels are transformed when they are packed.
constexpr std::int64_t kMostTransformed = 1920 * 640;
/// Tiles that share a transformed large filter.
constexpr std::int64_t kSharedTiles = 256;

/// Products that are worth waking a thread for.
constexpr std::int64_t kLeastProducts = 1 << 22;

const cpu::WinogradKernel* kernel_for(at::ScalarType dtype) {
  return cpu::fastest_kernel(dtype, cpu::winograd_avx2, cpu::winograd_avx512,
                             cpu::winograd_avx512_bf16);
}

std::int64_t columns_of(const cpu::WinogradKernel& kernel, std::int64_t out) {
  return (out + kernel.column - 1) / kernel.column;
}

/// Bytes of an output channel's taps.
std::int64_t channel_bytes(std::int64_t in, at::ScalarType dtype) {
  return 9 * in * static_cast<std::int64_t>(c10::elementSize(dtype));
}

using Memory = std::unique_ptr<std::byte[]>;

Memory allocate(std::int64_t bytes) {
  return std::make_unique_for_overwrite<std::byte[]>(static_cast<std::size_t>(bytes));
}

/// One call's operands, and how a thread computes with them.
struct Convolution {
  const cpu::WinogradKernel& kernel;
  cpu::WinogradShape shape;
  const void* x;
  const void* zeros;
  cpu::WinogradOutput output;

  void gather(const cpu::WinogradBlock& block, const cpu::WinogradRows& rows,
              const Memory& input) const {
    kernel.gather(shape, x, zeros, block, rows, input.get());
  }
  /// All rows of a block for one column.
  void multiply(const cpu::WinogradBlock& block, const Memory& input, const std::uint32_t* words,
                std::int64_t channel, const Memory& products) const {
    for (std::int64_t row = 0; row < block.tiles; row += kernel.most_rows) {
      const cpu::WinogradRows rows{row, std::min(row + kernel.most_rows, block.tiles)};
      kernel.multiply(shape, input.get(), words, channel, block, rows, output, products.get());
    }
  }
};

/// Visits equal shares of all tiles, of at most `most` and, if there are so many, at least `least`,
/// the same number for every thread.
template <class Visit>
void parallel_blocks(std::int64_t tiles, std::int64_t least, std::int64_t most,
                     const Visit& visit) {
  const std::int64_t threads = std::clamp<std::int64_t>(tiles / least, 1, at::get_num_threads());
  const std::int64_t rounds = (tiles + most * threads - 1) / (most * threads);
  const std::int64_t size = (tiles + rounds * threads - 1) / (rounds * threads);
  at::parallel_for(0, (tiles + size - 1) / size, 1, [&](std::int64_t first, std::int64_t end) {
    for (std::int64_t i = first; i < end; ++i) {
      visit(cpu::WinogradBlock{i * size, std::min(size, tiles - i * size)});
    }
  });
}

/// Every thread takes blocks of tiles, and all columns for each.
void convolve_by_tiles(const Convolution& with, const std::uint32_t* words) {
  const cpu::WinogradShape& shape = with.shape;
  const cpu::WinogradKernel& kernel = with.kernel;
  const std::int64_t least = kLeastProducts / (16 * shape.in * shape.out) + 1;
  parallel_blocks(
      shape.tiles(), least, kernel.most_tiles(shape.in), [&](const cpu::WinogradBlock& block) {
        const Memory input = allocate(kernel.input_bytes(shape.in, block.tiles));
        const Memory products = allocate(kernel.product_bytes(block.tiles));
        with.gather(block, {0, block.tiles}, input);
        for (std::int64_t channel = 0; channel < shape.out; channel += kernel.column) {
          with.multiply(block, input, words + kernel.words(shape.in, channel), channel, products);
        }
      });
}

/// Every thread takes columns, which it transforms first, for all tiles of a block.
void convolve_by_columns(const Convolution& with, const std::byte* taps, std::int64_t bytes,
                         const cpu::WinogradBlock& block) {
  const cpu::WinogradShape& shape = with.shape;
  const cpu::WinogradKernel& kernel = with.kernel;
  const Memory input = allocate(kernel.input_bytes(shape.in, block.tiles));
  at::parallel_for(0, block.tiles, 1, [&](std::int64_t first, std::int64_t end) {
    with.gather(block, {first, end}, input);
  });
  at::parallel_for(0, columns_of(kernel, shape.out), 1, [&](std::int64_t first, std::int64_t end) {
    const Memory words = allocate(kernel.words(shape.in, kernel.column) * 4);
    auto* transformed = reinterpret_cast<std::uint32_t*>(words.get());
    const Memory products = allocate(kernel.product_bytes(std::min(kernel.most_rows, block.tiles)));
    for (std::int64_t column = first; column < end; ++column) {
      const std::int64_t channel = column * kernel.column;
      kernel.transform(taps + channel * bytes, shape.in,
                       std::min(kernel.column, shape.out - channel), transformed);
      with.multiply(block, input, transformed, channel, products);
    }
  });
}

}  // namespace

bool winograd_serves(const at::Tensor& weight) {
  if (!weight.device().is_cpu() || weight.dim() != 4) return false;
  // A third of the products is no gain over tiles that do sixteen times as many.
  if (weight.scalar_type() == at::kBFloat16 && cpu::has_amx_bf16()) return false;
  const cpu::WinogradKernel* kernel = kernel_for(weight.scalar_type());
  return kernel != nullptr && weight.size(2) == 3 && weight.size(3) == 3 &&
         weight.size(0) % kernel->lanes == 0 && weight.size(1) % kernel->lanes == 0;
}

WinogradFilter winograd_filter(const at::Tensor& data, at::IntArrayRef shape) {
  return {data, shape[1], shape[0], shape[0] * shape[1] <= kMostTransformed};
}

WinogradFilter winograd_pack(const at::Tensor& weight) {
  const cpu::WinogradKernel& kernel = *kernel_for(weight.scalar_type());
  const at::Tensor plain = weight.contiguous();
  const std::int64_t out = weight.size(0), in = weight.size(1);
  const std::int64_t bytes_each = channel_bytes(in, weight.scalar_type());
  WinogradFilter filter = winograd_filter({}, weight.sizes());
  const bool transformed = filter.transformed;
  const std::int64_t bytes = transformed ? kernel.words(in, out) * 4 : out * bytes_each;
  filter.data = at::empty({bytes}, at::kByte);
  const auto* from = static_cast<const std::byte*>(plain.const_data_ptr());
  auto* data = static_cast<std::byte*>(filter.data.mutable_data_ptr());
  at::parallel_for(0, columns_of(kernel, out), 1, [&](std::int64_t first, std::int64_t end) {
    const Memory taps = allocate(transformed ? kernel.column * bytes_each : 0);
    for (std::int64_t column = first; column < end; ++column) {
      const std::int64_t channel = column * kernel.column;
      const std::int64_t width = std::min(kernel.column, out - channel);
      std::byte* to = transformed ? taps.get() : data + channel * bytes_each;
      cpu::transpose_taps(from + channel * bytes_each, width, in, weight.element_size(), to);
      if (!transformed) continue;
      kernel.transform(taps.get(), in, width,
                       reinterpret_cast<std::uint32_t*>(data) + kernel.words(in, channel));
    }
  });
  return filter;
}

at::Tensor winograd_conv2d(const at::Tensor& x, const WinogradFilter& filter,
                           const at::Tensor& bias, const at::Tensor& addend) {
  const cpu::WinogradKernel& kernel = *kernel_for(x.scalar_type());
  const at::Tensor input = x.contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor added =
      addend.defined() ? addend.contiguous(at::MemoryFormat::ChannelsLast) : at::Tensor();
  const at::Tensor biases = bias.defined() ? bias.to(at::kFloat).contiguous() : at::Tensor();
  const at::Tensor zeros = at::zeros({filter.in}, x.options());
  const at::Tensor y = at::empty({x.size(0), filter.out, x.size(2), x.size(3)}, x.options(),
                                 at::MemoryFormat::ChannelsLast);
  const Convolution with{
      kernel,
      {x.size(0), x.size(2), x.size(3), filter.in, filter.out},
      input.const_data_ptr(),
      zeros.const_data_ptr(),
      {biases.defined() ? biases.const_data_ptr<float>() : nullptr,
       added.defined() ? added.const_data_ptr() : nullptr, y.mutable_data_ptr()}};
  const auto* data = static_cast<const std::byte*>(filter.data.const_data_ptr());
  if (filter.transformed) {
    convolve_by_tiles(with, reinterpret_cast<const std::uint32_t*>(data));
    return y;
  }
  const std::int64_t bytes = channel_bytes(filter.in, x.scalar_type());
  const std::int64_t tiles = with.shape.tiles();
  const std::int64_t blocks = (tiles + kSharedTiles - 1) / kSharedTiles;
  const std::int64_t size = (tiles + blocks - 1) / blocks;
  for (std::int64_t first = 0; first < tiles; first += size) {
    convolve_by_columns(with, data, bytes, {first, std::min(size, tiles - first)});
  }
  return y;
}

}  // namespace ldm
