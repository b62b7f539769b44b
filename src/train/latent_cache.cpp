#include "ldm/train/latent_cache.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/isfinite.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <array>
#include <cstdio>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/file.h"
#include "ldm/io/open_tensors.h"
#include "ldm/io/safetensors_writer.h"
#include "ldm/train/autocast.h"
#include "ldm/train/batch_loader.h"
#include "ldm/train/tensor_map.h"

namespace ldm::train {
namespace fs = std::filesystem;

namespace {

constexpr std::int64_t kSamplesPerFile = 4096;
constexpr const char* kIdentityKey = "ldm.latents_of";

std::string stem_of(std::int64_t file) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "latents-%05lld", static_cast<long long>(file));
  return text.data();
}

/// Whether a file of latents is there and was made from the same pictures and weights.
bool is_current(const fs::path& path, const std::string& identity) {
  std::error_code error;
  if (!fs::exists(path, error)) return false;
  try {
    const auto source = open_tensors(path);
    const auto found = source->metadata().find(kIdentityKey);
    return found != source->metadata().end() && found->second == identity;
  } catch (const Error&) {
    return false;  // a damaged file is made anew
  }
}

at::Tensor to_half(const std::vector<at::Tensor>& parts, const fs::path& file) {
  at::Tensor joined = at::cat(parts).to(at::kCPU, at::kHalf);
  if (!at::isfinite(joined).all().item<bool>()) {
    throw Error::non_finite(cat(file.string(), ": latents that fp16 cannot hold"),
                            "check the autoencoder's weights");
  }
  return joined;
}

nn::DiagonalGaussian encode(const at::Tensor& pictures, const models::AutoencoderImpl& autoencoder,
                            const std::string& mixed_precision) {
  const at::Device device = autoencoder.parameters().front().device();
  const Autocast autocast(mixed_precision, device.type());
  return autoencoder.encode(pictures.to(device));
}

void encode_file(std::int64_t number, BatchLoader& loader, std::int64_t samples,
                 const models::AutoencoderImpl& autoencoder, const LatentCache::Options& options,
                 const std::function<void(std::int64_t, std::int64_t)>& progress) {
  const c10::AutoGradMode no_grad(false);
  const fs::path file = options.folder / cat(stem_of(number), ".safetensors");
  const std::int64_t first = number * kSamplesPerFile;
  const std::int64_t end = std::min(first + kSamplesPerFile, samples);
  std::vector<at::Tensor> means, deviations;
  for (std::int64_t at = first; at < end; at += options.batch_size) {
    const std::int64_t size = std::min(options.batch_size, end - at);
    const nn::DiagonalGaussian posterior =
        encode(loader.next(at, size).pictures, autoencoder, options.mixed_precision);
    means.push_back(posterior.mean);
    if (!posterior.is_point()) deviations.push_back(posterior.std);
    if (progress) progress(at + size, samples);
  }
  TensorMap tensors{{"mean", to_half(means, file)}};
  if (!deviations.empty()) tensors["std"] = to_half(deviations, file);
  TensorWriteOptions write;
  write.metadata[kIdentityKey] = options.identity;
  write.if_exists = IfExists::kReplace;
  write_tensors(TensorMapSource(tensors), options.folder, stem_of(number), write);
}

}  // namespace

LatentCache::LatentCache(const Dataset& dataset, const models::AutoencoderImpl& autoencoder,
                         Options options, ProcessGroup& group,
                         const std::function<void(std::int64_t, std::int64_t)>& progress) {
  if (options.pictures.flip || options.pictures.crop == Crop::kRandom) {
    throw Error::input("latents of random crops or mirrored pictures cannot be kept",
                       "set /data/crop to center or none and /data/flip to false");
  }
  std::error_code error;
  fs::create_directories(options.folder, error);
  check_output_folder(options.folder);
  const SampleOrder order(dataset.size(), 0, /*shuffle=*/false);
  BatchLoader loader(dataset, order, options.pictures, 0);
  const std::int64_t count = (dataset.size() + kSamplesPerFile - 1) / kSamplesPerFile;
  for (std::int64_t number = group.rank(); number < count; number += group.size()) {
    if (is_current(options.folder / cat(stem_of(number), ".safetensors"), options.identity)) {
      continue;
    }
    encode_file(number, loader, dataset.size(), autoencoder, options, progress);
  }
  group.barrier();
  for (std::int64_t number = 0; number < count; ++number) {
    files_.push_back(open_tensors(options.folder / cat(stem_of(number), ".safetensors")));
  }
  const TensorInfo* info = files_.front()->find("mean");
  if (info == nullptr || info->shape.size() != 4) {
    throw Error::input(cat(options.folder.string(), ": no latents in the first file"));
  }
  shape_.assign(info->shape.begin() + 1, info->shape.end());
  certain_ = files_.front()->find("std") == nullptr;
}

at::Tensor LatentCache::read(std::int64_t index, const char* name) const {
  at::Tensor values = at::empty(shape_, at::kHalf);
  const auto bytes = static_cast<std::uint64_t>(values.nbytes());
  files_.at(static_cast<std::size_t>(index / kSamplesPerFile))
      ->read_part(name, static_cast<std::uint64_t>(index % kSamplesPerFile) * bytes,
                  {static_cast<std::byte*>(values.mutable_data_ptr()), values.nbytes()});
  return values.to(at::kFloat);
}

at::Tensor LatentCache::sample(std::int64_t index, const at::Tensor& noise) const {
  const at::Tensor mean = read(index, "mean");
  return certain_ ? mean : mean + read(index, "std") * noise;
}

}  // namespace ldm::train
