#pragma once

#include <filesystem>
#include <string>

namespace ldm {

/// The value of an environment variable, empty where there is none.
std::string environment(const char* name);

/// The folder for what ldm-gen may forget: $XDG_CACHE_HOME/ldm-gen, else ~/.cache/ldm-gen; empty
/// where there is neither.
std::filesystem::path user_cache_folder();

}  // namespace ldm
