#include "ldm/loading/config_fields.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace ldm {
namespace {

constexpr auto kBookkeeping = std::to_array<std::string_view>({
    "_name_or_path",
    "activation_dropout",
    "add_cross_attention",
    "architectures",
    "attention_dropout",
    "attention_probs_dropout_prob",
    "classifier_dropout",
    "dropout",
    "dtype",
    "encoder_layerdrop",
    "gradient_checkpointing",
    "hidden_dropout_prob",
    "init_std",
    "initializer_factor",
    "initializer_range",
    "is_decoder",
    "model_type",
    "output_past",
    "scale_embedding",
    "tie_word_embeddings",
    "torch_dtype",
    "transformers_version",
    "use_cache",
});

}  // namespace

void drop_bookkeeping_keys(std::vector<std::string>& keys) {
  std::erase_if(keys, [](const std::string& key) {
    return std::find(kBookkeeping.begin(), kBookkeeping.end(), key) != kBookkeeping.end();
  });
}

}  // namespace ldm
