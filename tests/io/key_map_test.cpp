#include "ldm/io/key_map.h"

#include "tests/support/catch.h"

namespace ldm {

TEST_CASE("CLIP keys get the published prefix and lose what no module needs") {
  const KeyMap& map = key_map("CLIPTextModel");
  CHECK(map.rename("embeddings.token_embedding.weight") ==
        "text_model.embeddings.token_embedding.weight");
  CHECK(map.rename("text_model.final_layer_norm.bias") == "text_model.final_layer_norm.bias");
  CHECK(!map.rename("text_model.embeddings.position_ids"));
  CHECK(!map.rename("text_projection.weight"));
  CHECK(!map.rename("vision_model.encoder.layers.0.mlp.fc1.weight"));
  CHECK(map.rename("surplus.weight") == "surplus.weight");
}

TEST_CASE("old attention names become today's") {
  const KeyMap& map = key_map(GENERATE("AutoencoderKL", "VQModel", "UNet2DModel"));
  CHECK(map.rename("decoder.mid_block.attentions.0.query.weight") ==
        "decoder.mid_block.attentions.0.to_q.weight");
  CHECK(map.rename("decoder.mid_block.attentions.0.proj_attn.bias") ==
        "decoder.mid_block.attentions.0.to_out.0.bias");
  CHECK(map.rename("decoder.mid_block.attentions.0.to_k.weight") ==
        "decoder.mid_block.attentions.0.to_k.weight");
}

TEST_CASE("classes whose files always had diffusers' names keep them") {
  const char* class_name = GENERATE("UNet2DConditionModel", "AutoencoderTiny", "unheard-of");
  CHECK(key_map(class_name).rename("conv_in.weight") == "conv_in.weight");
  CHECK(key_map(class_name).rename("mid.query.weight") == "mid.query.weight");
}

}  // namespace ldm
