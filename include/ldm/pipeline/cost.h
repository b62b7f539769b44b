#pragma once

#include "ldm/pipeline/request.h"

namespace ldm {

struct Components;

/// Estimated peak memory of a plan in bytes: the largest stage's weights and activations, and the
/// libraries.
double estimate_memory(const Components& components, const Plan& plan);

}  // namespace ldm
