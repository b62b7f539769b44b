#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ldm/core/error.h"

namespace ldm::app {

/// What decides where pictures go.
struct OutputRequest {
  std::optional<std::string> output;  ///< --output
  std::uint64_t seed = 0;
  std::int64_t num_images = 1;
  bool overwrite = false;
};

/// One path a picture, in order. `output` is a file name or a folder (existing, or ending in '/');
/// several images get -0001, -0002, … before the suffix (more digits from 10,000 on). Without a
/// file name: ldm-SEED.png, and unless overwriting ldm-SEED-2.png, … when that is taken. Throws
/// Error::usage for a suffix other than .png or an unusable name.
std::vector<std::filesystem::path> resolve_output_paths(const OutputRequest& request);

/// Throws Error::output unless every path's folder exists and can be written to, and no path is a
/// folder.
void check_output_folders(const std::vector<std::filesystem::path>& paths);

/// Error::output: of `count` files that hold something else than this run would write, `first` is
/// named; `other` is what the user may name in its place.
Error holds_something_else(const std::filesystem::path& first, std::size_t count,
                           std::string_view other);

/// Throws Error::output naming how many of `paths` exist, unless `is_same` says of each of those
/// that it holds the result of this very request. Returns whether any exists.
bool check_existing(const std::vector<std::filesystem::path>& paths,
                    const std::function<bool(std::size_t index)>& is_same);

}  // namespace ldm::app
