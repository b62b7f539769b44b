#include "ldm/io/open_tensors.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "ldm/core/error.h"
#include "ldm/io/file.h"
#include "ldm/io/sniff.h"
#include "ldm/io/torch_checkpoint.h"
#include "ldm/io/weights_index.h"

namespace ldm {
namespace {

std::string lower_extension(const std::filesystem::path& path) {
  std::string extension = path.extension().string();
  for (char& c : extension) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return extension;
}

std::string first_bytes(const std::filesystem::path& path) {
  const InputFile file(path);
  std::string start(static_cast<std::size_t>(std::min<std::uint64_t>(file.size(), kSniffBytes)),
                    '\0');
  file.read_at(0, std::as_writable_bytes(std::span(start.data(), start.size())));
  return start;
}

}  // namespace

std::shared_ptr<const TensorSource> open_tensors(const std::filesystem::path& path) {
  const std::string extension = lower_extension(path);
  if (extension == ".safetensors" || extension == ".json") {
    return std::make_shared<WeightFiles>(WeightFiles::open_file(path));
  }
  const std::string start = first_bytes(path);
  const bool named_checkpoint =
      extension == ".ckpt" || extension == ".pt" || extension == ".pth" || extension == ".bin";
  if (looks_like_zip(start)) return std::make_shared<TorchCheckpoint>(path);
  if (looks_like_safetensors(start) && !named_checkpoint) {
    return std::make_shared<WeightFiles>(WeightFiles::open_file(path));
  }
  if (auto foreign = foreign_checkpoint(start)) {
    foreign->with_context(path.string());
    throw *foreign;
  }
  throw Error::model_rule(
      "E_WEIGHTS_FORMAT",
      start.empty() ? "the file is empty" : "neither safetensors nor a torch checkpoint",
      "download or copy the file again")
      .with_context(path.string());
}

}  // namespace ldm
