#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace ldm::models {

/// The fields of a CLIP text encoder's config.json with transformers' names and defaults
/// (`transformers.CLIPTextConfig`); fields that do not change the result are kept only as known.
struct CLIPTextConfig {
  std::int64_t vocab_size = 49408;
  std::int64_t hidden_size = 512;
  std::int64_t intermediate_size = 2048;
  std::int64_t num_hidden_layers = 12;
  std::int64_t num_attention_heads = 8;
  std::int64_t max_position_embeddings = 77;
  std::string hidden_act = "quick_gelu";  ///< "quick_gelu" (OpenAI) or "gelu" (OpenCLIP)
  double layer_norm_eps = 1e-5;
  std::optional<std::int64_t> projection_dim;  ///< belongs to the pooled output: unused
  std::optional<std::int64_t> pad_token_id;    ///< unused: the tokenizer pads
  std::optional<std::int64_t> bos_token_id;    ///< unused; published files hold wrong values
  std::optional<std::int64_t> eos_token_id;    ///< unused; published files hold wrong values

  /// Lists every field once as `v("name", member)`.
  template <class V>
  void visit(V&& v) {
    v("vocab_size", vocab_size);
    v("hidden_size", hidden_size);
    v("intermediate_size", intermediate_size);
    v("num_hidden_layers", num_hidden_layers);
    v("num_attention_heads", num_attention_heads);
    v("max_position_embeddings", max_position_embeddings);
    v("hidden_act", hidden_act);
    v("layer_norm_eps", layer_norm_eps);
    v("projection_dim", projection_dim);
    v("pad_token_id", pad_token_id);
    v("bos_token_id", bos_token_id);
    v("eos_token_id", eos_token_id);
  }

  /// Throws Error::model naming the first field that no such encoder can have.
  void validate() const;
};

}  // namespace ldm::models
