#pragma once

#include <string>

namespace ldm {

/// The value of an environment variable, empty where there is none.
std::string environment(const char* name);

}  // namespace ldm
