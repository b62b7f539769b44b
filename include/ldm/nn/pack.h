#pragma once

#include <torch/nn/module.h>

namespace ldm::nn {

/// Turns every layer below `module` into its fastest form for inference on this CPU: weights in
/// oneDNN's blocked layouts, the plain ones let go; projections of one input joined; own kernels
/// for attention and norms. Outputs stay the same within rounding. Convolutions are packed at their
/// first forward, when the size of their input is known, and again when it changes. Parameters
/// become placeholders: nothing can be trained or saved afterwards. Layers that oneDNN does not
/// serve (other devices or dtypes) stay as they are.
void pack_for_inference(torch::nn::Module& module);

/// Drops packed weights again: layers are as they were before any weights came.
void unpack(torch::nn::Module& module);

}  // namespace ldm::nn
