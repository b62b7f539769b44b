#include "ldm/core/plugin.h"

#include <system_error>

namespace ldm {
namespace fs = std::filesystem;

fs::path plugin_path(std::string_view name) {
  std::error_code error;
  const fs::path folder = fs::read_symlink("/proc/self/exe", error).parent_path();
  const fs::path beside = folder / name;
  const fs::path installed = folder.parent_path() / "lib" / "ldm-gen" / name;
  return !fs::exists(beside, error) && fs::exists(installed, error) ? installed : beside;
}

}  // namespace ldm
