#pragma once

#include "ldm/pipeline/request.h"

namespace ldm {

struct Components;

/// Resolves and checks a request against a model; reads no weights. Throws Error::usage naming all
/// values that cannot work, Error::input for a prompt that must not be cut.
Plan make_plan(const Components& components, const Request& request);

/// Images computed together where nobody says how many: few on a CPU, which one image keeps busy.
int default_batch_size(const Components& components);

/// What the model's denoiser reads beside the noisy latents. Throws Error::model for a number of
/// channels that no known model has.
ImageCondition image_condition(const Components& components);

}  // namespace ldm
