#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace ldm::models {

/// The fields of an LDMBertModel's config.json with diffusers' names and defaults, which are those
/// of txt2img-large; fields that do not change the result are kept only as known.
struct LDMBertConfig {
  std::int64_t vocab_size = 30522;
  std::int64_t max_position_embeddings = 77;
  std::int64_t encoder_layers = 32;
  std::int64_t encoder_ffn_dim = 5120;
  std::int64_t encoder_attention_heads = 8;
  std::int64_t head_dim = 64;
  std::int64_t d_model = 1280;
  std::string activation_function = "gelu";
  std::optional<std::int64_t> num_hidden_layers;  ///< unused: encoder_layers counts
  std::optional<std::int64_t> pad_token_id;       ///< unused: the tokenizer pads

  /// Lists every field once as `v("name", member)`.
  template <class V>
  void visit(V&& v) {
    v("vocab_size", vocab_size);
    v("max_position_embeddings", max_position_embeddings);
    v("encoder_layers", encoder_layers);
    v("encoder_ffn_dim", encoder_ffn_dim);
    v("encoder_attention_heads", encoder_attention_heads);
    v("head_dim", head_dim);
    v("d_model", d_model);
    v("activation_function", activation_function);
    v("num_hidden_layers", num_hidden_layers);
    v("pad_token_id", pad_token_id);
  }

  /// Throws Error::model naming the first field that no such encoder can have.
  void validate() const;
};

}  // namespace ldm::models
