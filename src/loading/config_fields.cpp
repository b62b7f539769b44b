#include "ldm/loading/config_fields.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace ldm {
namespace {

constexpr std::array<std::string_view, 12> kBookkeeping = {
    "architectures",      "attention_dropout",      "dropout",    "dtype",
    "initializer_factor", "initializer_range",      "model_type", "transformers_version",
    "torch_dtype",        "gradient_checkpointing", "use_cache",  "tie_word_embeddings"};

}  // namespace

void drop_bookkeeping_keys(std::vector<std::string>& keys) {
  std::erase_if(keys, [](const std::string& key) {
    return std::find(kBookkeeping.begin(), kBookkeeping.end(), key) != kBookkeeping.end();
  });
}

}  // namespace ldm
