#pragma once

#include <string_view>

namespace ldm {

/// The project's version, "0.1.0".
std::string_view version();
/// The source revision this binary was built from (git describe), or "unknown".
std::string_view revision();

}  // namespace ldm
