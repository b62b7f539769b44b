#include "ldm/core/version.h"

namespace ldm {

std::string_view version() { return LDM_VERSION; }

std::string_view revision() {
  constexpr std::string_view kRevision = LDM_REVISION;
  return kRevision.empty() ? "unknown" : kRevision;
}

}  // namespace ldm
