#include "ldm/app/picture_writer.h"

#include <array>
#include <span>
#include <utility>

#include "ldm/app/events.h"
#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/core/version.h"
#include "ldm/io/hash.h"
#include "ldm/io/safetensors.h"

namespace ldm::app {

std::vector<std::byte> encode_picture_file(const ImageResult& result, const RunFacts& facts,
                                           MetadataMode metadata) {
  std::vector<std::byte> png = encode_png(result.image, picture_text(metadata, facts, result));
  verify_png(png, "the new picture");
  return png;
}

PictureWriter::PictureWriter(Console& console, std::vector<std::filesystem::path> paths,
                             MetadataMode metadata, IfExists if_exists, bool keep_latents)
    : console_(console),
      paths_(std::move(paths)),
      metadata_(metadata),
      if_exists_(if_exists),
      keep_latents_(keep_latents) {}

const std::filesystem::path& PictureWriter::path_of(int index) const {
  return paths_.at(static_cast<std::size_t>(index));
}

void PictureWriter::write(const ImageResult& result, const RunFacts& facts) {
  const std::filesystem::path& path = path_of(result.index);
  const std::vector<std::byte> png = encode_picture_file(result, facts, metadata_);
  write_file_atomic(path, png, if_exists_);
  if (console_.json) {
    console_.event(image_event(path, result.seed, result.index, sha256_hex(png)));
  } else {
    console_.result(path.string());
  }
  if (!keep_latents_) return;
  std::vector<std::int64_t> shape = result.latents.shape;
  if (shape.size() != 4) throw Error::internal("latents of a picture are not [1, C, h, w]");
  if (!latents_.shape.empty()) shape[0] += latents_.shape[0];
  latents_.shape = shape;
  latents_.values.insert(latents_.values.end(), result.latents.values.begin(),
                         result.latents.values.end());
}

void PictureWriter::write_latents(const std::filesystem::path& path) const {
  const std::array<TensorData, 1> tensors = {
      TensorData{"latents", DType::F32, latents_.shape, std::as_bytes(std::span(latents_.values))}};
  write_safetensors(path, tensors, {{"producer", cat("ldm-gen ", version())}}, if_exists_);
}

}  // namespace ldm::app
