#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace ldm::models {

/// The fields of a RobertaSeriesModelWithTransformation's config.json with diffusers' names and
/// defaults (RobertaSeriesConfig); fields that do not change the result are kept only as known.
struct RobertaSeriesConfig {
  std::int64_t vocab_size = 30522;
  std::int64_t hidden_size = 768;
  std::int64_t num_hidden_layers = 12;
  std::int64_t num_attention_heads = 12;
  std::int64_t intermediate_size = 3072;
  std::int64_t max_position_embeddings = 512;
  std::int64_t type_vocab_size = 2;
  std::int64_t pad_token_id = 1;  ///< positions count from the one behind it
  std::int64_t project_dim = 512;
  std::string hidden_act = "gelu";
  std::string position_embedding_type = "absolute";  ///< the only one
  double layer_norm_eps = 1e-12;
  bool use_attention_mask = true;            ///< padding is not attended to
  bool has_pre_transformation = false;       ///< AltDiffusion-m18: from the layer before the last
  std::optional<std::string> pooler_fn;      ///< unused: nothing is pooled
  std::optional<bool> learn_encoder;         ///< of its training
  std::optional<std::int64_t> bos_token_id;  ///< unused: the tokenizer frames
  std::optional<std::int64_t> eos_token_id;  ///< unused: the tokenizer frames

  /// Lists every field once as `v("name", member)`.
  template <class V>
  void visit(V&& v) {
    v("vocab_size", vocab_size);
    v("hidden_size", hidden_size);
    v("num_hidden_layers", num_hidden_layers);
    v("num_attention_heads", num_attention_heads);
    v("intermediate_size", intermediate_size);
    v("max_position_embeddings", max_position_embeddings);
    v("type_vocab_size", type_vocab_size);
    v("pad_token_id", pad_token_id);
    v("project_dim", project_dim);
    v("hidden_act", hidden_act);
    v("position_embedding_type", position_embedding_type);
    v("layer_norm_eps", layer_norm_eps);
    v("use_attention_mask", use_attention_mask);
    v("has_pre_transformation", has_pre_transformation);
    v("pooler_fn", pooler_fn);
    v("learn_encoder", learn_encoder);
    v("bos_token_id", bos_token_id);
    v("eos_token_id", eos_token_id);
  }

  /// Throws Error::model naming the first field that no such encoder can have.
  void validate() const;
};

}  // namespace ldm::models
