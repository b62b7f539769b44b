#pragma once

#include <memory>

#include "ldm/models/clip_text_model.h"
#include "ldm/models/unet_2d_condition.h"
#include "ldm/text/tokenizer.h"
#include "ldm/train/denoiser_model.h"
#include "tests/support/tensors.h"

namespace ldm::test {

/// A denoiser of 8 and 16 channels under a CLIP text model of width 8, weights by formula, whose
/// noise schedule is DDIM's with Stable Diffusion's betas. scripts/goldens/training.py makes its
/// twin.
inline train::DenoiserModel tiny_denoiser() {
  models::UNet2DConditionConfig unet;
  unet.sample_size = 8;
  unet.in_channels = unet.out_channels = 2;
  unet.block_out_channels = {8, 16};
  unet.down_block_types = {"DownBlock2D", "CrossAttnDownBlock2D"};
  unet.up_block_types = {"CrossAttnUpBlock2D", "UpBlock2D"};
  unet.layers_per_block = IntOrList{1};
  unet.attention_head_dim = IntOrList{2};
  unet.cross_attention_dim = IntOrList{8};
  unet.norm_num_groups = 4;
  models::CLIPTextConfig text;
  text.hidden_size = 8;
  text.intermediate_size = 16;
  text.num_hidden_layers = 1;
  text.num_attention_heads = 2;
  train::DenoiserModel model;
  model.files.scheduler_config = {{"_class_name", "DDIMScheduler"},
                                  {"beta_start", 0.00085},
                                  {"beta_end", 0.012},
                                  {"beta_schedule", "scaled_linear"}};
  model.unet = std::make_shared<models::UNet2DConditionModelImpl>(unet);
  model.text_encoder = std::make_shared<models::CLIPTextModelImpl>(text);
  model.tokenizer = open_tokenizer(test_file("../weights/tokenizers/clip"));
  fill_by_formula(*model.unet, 500);
  fill_by_formula(*model.text_encoder, 900);
  return model;
}

}  // namespace ldm::test
