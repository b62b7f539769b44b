#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "ldm/core/error.h"

namespace ldm {

/// How many bytes from the start of a file the functions here need to see.
inline constexpr std::size_t kSniffBytes = 512;

/// What a file is that should hold safetensors and does not, told by its first bytes: a git-lfs
/// pointer (E_ST_LFS), a web page (E_ST_HTML), a zip (E_ST_ZIP), a pickle (E_ST_PICKLE).
std::optional<Error> foreign_weights(std::string_view start);

/// What a file is that should be a torch checkpoint and is none that can be read: as above a
/// git-lfs pointer or a web page, and a bare pickle (E_CKPT_LEGACY), a tar (E_CKPT_TAR),
/// safetensors (E_CKPT_SAFETENSORS).
std::optional<Error> foreign_checkpoint(std::string_view start);

/// Whether the file is a zip, as torch checkpoints are.
bool looks_like_zip(std::string_view start);

/// Whether the file begins like safetensors: an 8-byte length, then a JSON object.
bool looks_like_safetensors(std::string_view start);

}  // namespace ldm
