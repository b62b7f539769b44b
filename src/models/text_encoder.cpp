#include "ldm/models/text_encoder.h"

#include "ldm/core/error.h"

namespace ldm::models {

void TextEncoderImpl::learn(const at::Tensor&) {
  throw Error::usage("this model's text encoder takes no --embedding",
                     "textual inversions are made for Stable Diffusion 1.x and 2.x");
}

}  // namespace ldm::models
