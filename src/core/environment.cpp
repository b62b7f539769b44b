#include "ldm/core/environment.h"

#include <cstdlib>

namespace ldm {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::filesystem::path user_cache_folder() {
  std::filesystem::path caches = environment("XDG_CACHE_HOME");
  if (!caches.is_absolute()) {
    const std::filesystem::path home = environment("HOME");
    if (!home.is_absolute()) return {};
    caches = home / ".cache";
  }
  return caches / "ldm-gen";
}

}  // namespace ldm
