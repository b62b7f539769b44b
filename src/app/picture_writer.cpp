#include "ldm/app/picture_writer.h"

#include <array>
#include <span>
#include <utility>

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

void announce_picture(const WrittenPicture& picture, const ProgressMeter& progress,
                      Console& console) {
  if (console.json) {
    console.event(image_event(picture, progress.image_seconds(), progress.state().left_s));
  } else {
    console.result(picture.path.string());
  }
}

void write_heatmap(const std::filesystem::path& picture, const ImageResult& result,
                   IfExists if_exists, Console& console) {
  if (!result.heatmap) return;
  std::filesystem::path path = picture;
  path.replace_extension(".heatmap.png");
  write_file_atomic(path, encode_png(*result.heatmap), if_exists);
  if (!console.json) console.result(path.string());
}

PictureWriter::PictureWriter(std::vector<std::filesystem::path> paths, IfExists if_exists,
                             bool keep_latents)
    : paths_(std::move(paths)), if_exists_(if_exists), keep_latents_(keep_latents) {}

const std::filesystem::path& PictureWriter::path_of(int index) const {
  return paths_.at(static_cast<std::size_t>(index));
}

WrittenPicture PictureWriter::write(const ImageResult& result, const std::vector<std::byte>& png) {
  WrittenPicture written{path_of(result.index), result.seed, result.index, {}};
  write_file_atomic(written.path, png, if_exists_);
  written.sha256 = sha256_hex(png);
  if (!keep_latents_) return written;
  std::vector<std::int64_t> shape = result.latents.shape;
  if (shape.size() != 4) throw Error::internal("latents of a picture are not [1, C, h, w]");
  if (!latents_.shape.empty()) shape[0] += latents_.shape[0];
  latents_.shape = shape;
  latents_.values.insert(latents_.values.end(), result.latents.values.begin(),
                         result.latents.values.end());
  return written;
}

void PictureWriter::write_latents(const std::filesystem::path& path) const {
  const std::array<TensorData, 1> tensors = {
      TensorData{"latents", DType::F32, latents_.shape, std::as_bytes(std::span(latents_.values))}};
  write_safetensors(path, tensors, {{"producer", cat("ldm-gen ", version())}}, if_exists_);
}

}  // namespace ldm::app
