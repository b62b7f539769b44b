#pragma once

#include <filesystem>
#include <string>

#include "ldm/app/options.h"

namespace ldm::app {

/// Reads options from a JSON object whose keys are the long options in snake_case; null counts as
/// not given. Throws Error::input (3) for a file that cannot be read, an unknown key (with a
/// suggestion) or a value of the wrong kind, naming the file and all such keys.
Options read_config_file(const std::filesystem::path& path);

/// All options as such a file, unset ones null, keys in the order of the help.
std::string config_text(const Options& options);

}  // namespace ldm::app
