#pragma once

#include <filesystem>
#include <string_view>

namespace ldm {

/// Where a plugin such as "libldm_cuda.so" is: beside the running program (build folders), else in
/// ../lib/ldm-gen as seen from it (installations). The first place when it is in neither.
std::filesystem::path plugin_path(std::string_view name);

}  // namespace ldm
