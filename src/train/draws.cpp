#include "ldm/train/draws.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/stack.h>

#include <vector>

namespace ldm::train {
namespace {

/// SplitMix64's finaliser (Steele et al. 2014): every input bit moves every output bit.
std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15U;
  x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27U)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31U);
}

}  // namespace

std::uint64_t draw_key(std::uint64_t seed, std::string_view purpose, std::uint64_t number) {
  std::uint64_t key = mix(seed);
  for (const char letter : purpose) key = mix(key ^ static_cast<unsigned char>(letter));
  return mix(key ^ number);
}

at::Generator draw_for(std::uint64_t seed, std::string_view purpose, std::uint64_t number) {
  return at::make_generator<at::CPUGeneratorImpl>(draw_key(seed, purpose, number));
}

at::Tensor noise_for(std::uint64_t seed, std::string_view purpose, std::int64_t first,
                     std::int64_t count, at::IntArrayRef shape) {
  std::vector<at::Tensor> rows;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto number = static_cast<std::uint64_t>(first + i);
    rows.push_back(at::randn(shape, draw_for(seed, purpose, number)));
  }
  return at::stack(rows);
}

}  // namespace ldm::train
