#pragma once

#include "ldm/core/device.h"
#include "tests/support/catch.h"

namespace ldm::test {

/// Whether a test labelled gpu has one; says why not.
inline bool has_gpu() {
  if (cuda_state().api != nullptr) return true;
  WARN("skipped: " << cuda_state().why_not);
  return false;
}

}  // namespace ldm::test
