#include "ldm/core/random.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/randn.h>

#include "ldm/core/philox.h"

namespace ldm {

ImageRandom::ImageRandom(std::uint64_t seed, NoiseSource source)
    : seed_(seed), source_(source), generator_(at::make_generator<at::CPUGeneratorImpl>(seed)) {}

at::Tensor ImageRandom::randn(at::IntArrayRef shape) {
  if (source_ == NoiseSource::kPhilox) {
    at::Tensor numbers = at::empty(shape, at::kFloat);
    philox_normal(seed_, draws_++,
                  {numbers.data_ptr<float>(), static_cast<std::size_t>(numbers.numel())});
    return numbers;
  }
  return at::randn(shape, generator_, at::TensorOptions().dtype(at::kFloat));
}

at::Tensor randn_each(std::vector<ImageRandom>& images, at::IntArrayRef shape) {
  std::vector<at::Tensor> draws;
  draws.reserve(images.size());
  std::vector<std::int64_t> one(shape.begin(), shape.end());
  one.insert(one.begin(), 1);
  for (ImageRandom& image : images) draws.push_back(image.randn(one));
  return at::cat(draws);
}

}  // namespace ldm
