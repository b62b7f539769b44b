#pragma once

#include <filesystem>
#include <string>

namespace ldm {

/// A file or folder that comes with the program ("configs/sd15.json", "weights/tokenizers/clip"):
/// under share/ldm-gen of the installation, above the build folder, or in the source tree. Empty
/// when it is in none of them.
std::filesystem::path find_data(const std::string& relative);

}  // namespace ldm
