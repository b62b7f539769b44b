#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>

namespace ldm {

/// The one number that a NumPy .npy file holds: little-endian float32 or float64 of shape () or
/// all ones, format version 1, 2 or 3. Anything else, more or less is Error::input naming `name`;
/// so is a number that is not finite. Source: numpy.lib.format.
double read_npy_scalar(std::span<const std::byte> bytes, const std::string& name);

/// The same of a file, which must be readable and small.
double load_npy_scalar(const std::filesystem::path& path);

}  // namespace ldm
