#include "ldm/pipeline/cost.h"

#include "ldm/loading/components.h"
#include "ldm/loading/open.h"
#include "ldm/models/autoencoder_kl.h"
#include "ldm/models/unet_2d_condition.h"
#include "ldm/pipeline/plan.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace ldm {

// Counted with PyTorch's FlopCounterMode on the meta device: 1.6065 TFLOP for a batch of two.
TEST_CASE("a Stable Diffusion 1.5 UNet call is counted within three per cent") {
  models::UNet2DConditionConfig config;
  config.cross_attention_dim = IntOrList(768);
  const models::UNet2DConditionModel unet(config);
  CHECK(2 * unet_flops(*unet, 64, 64) == Approx(1.6065e12).epsilon(0.03));
  CHECK(unet_flops(*unet, 128, 128) > 4 * unet_flops(*unet, 64, 64));
}

// The same counter: 2.5145 TFLOP. The estimate leaves out that an upsampler works at its output's
// size.
TEST_CASE("decoding a 512 x 512 picture is counted within five per cent") {
  models::AutoencoderKLConfig config;
  config.block_out_channels = {128, 256, 512, 512};
  config.down_block_types.assign(4, "DownEncoderBlock2D");
  config.up_block_types.assign(4, "UpDecoderBlock2D");
  config.layers_per_block = 2;
  const models::AutoencoderKL vae(config);
  CHECK(decoder_flops(*vae, 64, 64) == Approx(2.5145e12).epsilon(0.05));
}

TEST_CASE("a plan's time and memory grow with its work") {
  ExecutionRequest execution;
  execution.device = "cpu";
  const auto components =
      open_components(open_model(test::test_file("golden/runs/sd1")), execution);
  Request request;
  request.num_inference_steps = 4;
  const Plan small = make_plan(*components, request);
  request.width = 512;
  request.height = 512;
  const Plan large = make_plan(*components, request);
  CHECK(large.memory_bytes > small.memory_bytes);
  CHECK(estimate_seconds(*components, small) > 0);
  CHECK(estimate_seconds(*components, large) > estimate_seconds(*components, small));
}

}  // namespace ldm
