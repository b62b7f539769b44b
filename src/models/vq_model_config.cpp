#include "ldm/models/vq_model_config.h"

#include "ldm/models/config_checks.h"
#include "ldm/models/vae_coder.h"

namespace ldm::models {

void VQModelConfig::validate() const {
  constexpr ConfigChecks check{"VQModel"};
  check.one_of("norm_type", norm_type, {"group"});
  validate_coder(coder_fields(check.config, *this));
  check.range("num_vq_embeddings", num_vq_embeddings, 1, kMaxClasses);
  check.range("vq_embed_dim", code_channels(), 1, kMaxWidth);
}

}  // namespace ldm::models
