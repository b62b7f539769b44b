#include "ldm/loading/verify.h"

#include <algorithm>
#include <cstddef>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/loading/component_factory.h"
#include "ldm/loading/load_module.h"

namespace ldm {
namespace {

constexpr std::uint64_t kPiece = std::uint64_t{1} << 20U;

std::shared_ptr<torch::nn::Module> make_any(const ComponentFiles& files) {
  if (files.name == "text_encoder") return make_text_encoder(files);
  if (files.name == "unet") return make_denoiser(files);
  return make_autoencoder(files);
}

/// Number of values of a tensor that are NaN or Inf.
std::size_t non_finite_values(const TensorSource& source, const TensorInfo& info,
                              std::vector<std::byte>& staging) {
  std::size_t count = 0;
  for (std::uint64_t begin = 0; begin < info.byte_size(); begin += kPiece) {
    const std::uint64_t length = std::min(kPiece, info.byte_size() - begin);
    const std::span<std::byte> bytes(staging.data(), static_cast<std::size_t>(length));
    source.read_part(info.name, begin, bytes);
    count += count_non_finite(info.dtype, bytes);
  }
  return count;
}

}  // namespace

ComponentVerdict verify_component(const ComponentFiles& files) {
  ComponentVerdict verdict;
  verdict.name = files.name;
  verdict.class_name = files.class_name;
  WeightBinding binding = bind_weights(*make_any(files), *files.weights, key_map(files.class_name));
  verdict.missing = std::move(binding.missing);
  verdict.unexpected = std::move(binding.unexpected);
  verdict.mis_shaped = std::move(binding.mis_shaped);
  std::vector<std::byte> staging(static_cast<std::size_t>(kPiece));
  for (const std::string& name : files.weights->names()) {
    const TensorInfo& info = *files.weights->find(name);
    try {
      const std::size_t count = non_finite_values(*files.weights, info, staging);
      if (count > 0) verdict.non_finite.push_back(cat(name, ": ", count, " values"));
    } catch (const Error& error) {
      verdict.unreadable.push_back(error.message());
    }
  }
  return verdict;
}

}  // namespace ldm
