#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "ldm/app/console.h"
#include "ldm/app/events.h"
#include "ldm/app/metadata.h"
#include "ldm/app/progress.h"
#include "ldm/io/file.h"
#include "ldm/pipeline/pipeline.h"

namespace ldm::app {

/// A picture as its file's bytes, with its settings in it, read back once. Throws Error::output.
std::vector<std::byte> encode_picture_file(const ImageResult& result, const RunFacts& facts,
                                           MetadataMode metadata);

/// Says that a picture was written: its path on stdout, or the `image` event. The progress has
/// counted it.
void announce_picture(const WrittenPicture& picture, const ProgressMeter& progress,
                      Console& console);

/// Writes a picture's heat map beside it, PICTURE.heatmap.png for PICTURE.png, and says so. Does
/// nothing without one. Throws Error::output.
void write_heatmap(const std::filesystem::path& picture, const ImageResult& result,
                   IfExists if_exists, Console& console);

/// Writes the pictures of a run as they come, each whole or not at all.
class PictureWriter {
 public:
  PictureWriter(std::vector<std::filesystem::path> paths, IfExists if_exists, bool keep_latents);

  /// Writes one picture, encoded by `encode_picture_file`. Throws Error::output.
  WrittenPicture write(const ImageResult& result, const std::vector<std::byte>& png);

  /// Writes the latents of all pictures so far as `latents` fp32 [N, C, h, w].
  void write_latents(const std::filesystem::path& path) const;

  const std::filesystem::path& path_of(int index) const;

 private:
  std::vector<std::filesystem::path> paths_;
  IfExists if_exists_;
  bool keep_latents_;
  LatentsData latents_;
};

}  // namespace ldm::app
