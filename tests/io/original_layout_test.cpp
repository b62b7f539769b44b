#include "ldm/io/original_layout.h"

#include "tests/io/errors.h"
#include "tests/io/memory_tensors.h"
#include "tests/support/catch.h"

namespace ldm {
namespace {

using test::Contains;
using test::error_of;

TEST_CASE("names of averaged weights get their dots back") {
  const std::vector<std::string> names = {
      "input_blocks.0.0.weight",
      "input_blocks.10.0.in_layers.0.weight",
      "input_blocks.1.1.transformer_blocks.0.attn2.to_out.0.bias",
      "input_blocks.3.0.op.weight",
      "middle_block.1.proj_in.weight",
      "middle_block.1.qkv.bias",
      "output_blocks.11.1.transformer_blocks.0.ff.net.0.proj.weight",
      "output_blocks.2.1.conv.bias",
      "output_blocks.5.0.skip_connection.weight",
      "time_embed.2.weight",
      "label_emb.weight",
      "out.0.weight",
      "output_blocks.0.0.out_layers.3.weight",
      "output_blocks.0.0.emb_layers.1.bias"};
  test::MemoryTensors memory;
  for (const std::string& name : names) memory.add(averaged_name("diffusion_model." + name), {1});
  memory.add("model_ema.decay", {1});
  CHECK(averaged_name("diffusion_model.out.0.weight") == "model_ema.diffusion_modelout0weight");
  LayoutKeys keys = averaged_unet_keys(*memory.source);
  CHECK(keys.size() == names.size());
  for (const std::string& name : names) {
    INFO(name);
    CHECK(keys[name] == averaged_name("diffusion_model." + name));
  }
}

TEST_CASE("a joined qkv interleaves its parts by head") {
  // Two heads of two rows: q0 q0 k0 k0 v0 v0 q1 q1 …
  test::MemoryTensors memory;
  memory.add("m.middle_block.1.qkv.weight", {12, 1, 1});
  UNetOutline outline{1, 1, {true}, false, false, {2}};
  RenamedTensors view(memory.source);
  const LayoutKeys keys = keys_below(*memory.source, "m.");
  add_from_original(view, *memory.source, keys, unet_blocks(outline));
  const std::string attention = "mid_block.attentions.0.";
  CHECK(test::floats(view, attention + "to_q.weight") == std::vector<float>{0, 1, 6, 7});
  CHECK(test::floats(view, attention + "to_k.weight") == std::vector<float>{2, 3, 8, 9});
  CHECK(test::floats(view, attention + "to_v.weight") == std::vector<float>{4, 5, 10, 11});
  CHECK(view.find(attention + "to_v.weight")->shape == std::vector<std::int64_t>{4, 1});

  const auto split = std::make_shared<RenamedTensors>(view);
  RenamedTensors back(split);
  CHECK(add_to_original(back, *split, keys_below(*split, ""), unet_blocks(outline), "m.").empty());
  CHECK(test::floats(back, "m.middle_block.1.qkv.weight") ==
        test::floats(*memory.source, "m.middle_block.1.qkv.weight"));
  CHECK(back.find("m.middle_block.1.qkv.weight")->shape == std::vector<std::int64_t>{12, 1, 1});
}

TEST_CASE("a qkv that cannot be cut evenly is refused") {
  test::MemoryTensors memory;
  memory.add("middle_block.1.qkv.weight", {10, 1, 1});
  RenamedTensors view(memory.source);
  const UNetOutline outline{1, 1, {true}, false, false, {2}};
  const auto error = error_of([&] {
    add_from_original(view, *memory.source, keys_below(*memory.source, ""), unet_blocks(outline));
  });
  REQUIRE(error);
  CHECK_THAT(error->message(), Contains("6 equal parts") && Contains("qkv"));
  CHECK(error->code() == ErrorCode::kModel);
}

TEST_CASE("what an outline says of the numbering") {
  test::MemoryTensors memory;
  // Two levels of one resnet, attention at the second, sampled by convolutions.
  for (const char* name :
       {"input_blocks.0.0.weight", "input_blocks.1.0.in_layers.2.weight",
        "input_blocks.2.0.op.weight", "input_blocks.3.0.in_layers.2.weight",
        "input_blocks.3.1.qkv.weight", "output_blocks.0.0.in_layers.2.weight",
        "output_blocks.0.1.qkv.weight", "output_blocks.1.0.in_layers.2.weight",
        "output_blocks.1.1.qkv.weight", "output_blocks.1.2.conv.weight",
        "output_blocks.2.0.in_layers.2.weight", "output_blocks.3.0.in_layers.2.weight"}) {
    memory.add(name, {1});
  }
  const UNetOutline outline = outline_original_unet(keys_below(*memory.source, ""));
  CHECK(outline.levels == 2);
  CHECK(outline.layers == 1);
  CHECK(outline.attention == std::vector<bool>{false, true});
  CHECK(!outline.transformer);
  CHECK(!outline.resnet_sampling);
  CHECK_THROWS_AS(outline_original_unet({}), Error);
  CHECK_THROWS_AS(outline_original_vae({{"encoder.conv_in.weight", "x"}}), Error);
}

TEST_CASE("unknown names stay, known useless ones have a reason") {
  test::MemoryTensors memory;
  memory.add("p.encoder.mid.attn_1.q.weight", {2, 2, 1, 1});
  memory.add("p.surplus.weight", {1});
  RenamedTensors view(memory.source);
  const VaeOutline outline{1, 1, {false}, {false}};
  add_from_original(view, *memory.source, keys_below(*memory.source, "p."), vae_blocks(outline));
  CHECK(view.names() ==
        std::vector<std::string>{"encoder.mid_block.attentions.0.to_q.weight", "surplus.weight"});
  CHECK(view.find("encoder.mid_block.attentions.0.to_q.weight")->shape ==
        std::vector<std::int64_t>{2, 2});
  CHECK(find_dropped("surplus.weight") == nullptr);
  CHECK(find_dropped("first_stage_model.loss.perceptual_loss.net.slice1.0.weight") != nullptr);
  CHECK(find_dropped("alphas_cumprod_prev") != nullptr);
  CHECK(find_dropped("cond_stage_model.model.transformer.resblocks.0.ln_1.weight") == nullptr);
  CHECK(find_dropped("") == nullptr);
}

}  // namespace
}  // namespace ldm
