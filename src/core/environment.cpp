#include "ldm/core/environment.h"

#include <cstdlib>

namespace ldm {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace ldm
