#include "ldm/models/clip_text_config.h"

#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm::models {
namespace {

// Far above any published encoder, and small enough that products of two fit 64 bits.
constexpr std::int64_t kMostSize = std::int64_t{1} << 24;

void check_size(const char* name, std::int64_t value) {
  if (value < 1 || value > kMostSize) {
    throw Error::model(
        cat("CLIP text encoder: ", name, " is ", value, ", expected 1 to ", kMostSize));
  }
}

}  // namespace

void CLIPTextConfig::validate() const {
  check_size("vocab_size", vocab_size);
  check_size("hidden_size", hidden_size);
  check_size("intermediate_size", intermediate_size);
  check_size("num_attention_heads", num_attention_heads);
  check_size("max_position_embeddings", max_position_embeddings);
  if (num_hidden_layers < 1 || num_hidden_layers > 1000) {
    throw Error::model(
        cat("CLIP text encoder: num_hidden_layers is ", num_hidden_layers, ", expected 1 to 1000"));
  }
  if (hidden_size % num_attention_heads != 0) {
    throw Error::model(cat("CLIP text encoder: hidden_size ", hidden_size,
                           " is not a multiple of num_attention_heads ", num_attention_heads));
  }
  if (!(layer_norm_eps > 0.0)) {
    throw Error::model(cat("CLIP text encoder: layer_norm_eps is ", layer_norm_eps,
                           ", expected a positive number"));
  }
  if (hidden_act != "quick_gelu" && hidden_act != "gelu") {
    throw Error::model(cat("CLIP text encoder: unknown hidden_act \"", hidden_act, "\""),
                       "quick_gelu and gelu are supported");
  }
}

}  // namespace ldm::models
