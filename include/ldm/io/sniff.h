#pragma once

#include <optional>
#include <string_view>

#include "ldm/core/error.h"

namespace ldm {

/// What a file is that should hold safetensors and does not, told by its first bytes (512 suffice):
/// a git-lfs pointer (E_ST_LFS), a web page (E_ST_HTML), a zip (E_ST_ZIP), a pickle (E_ST_PICKLE).
std::optional<Error> foreign_weights(std::string_view start);

}  // namespace ldm
