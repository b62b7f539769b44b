#include "ldm/app/check_options.h"

#include <string>

#include "tests/support/catch.h"

namespace ldm::app {
namespace {

std::string problems(const Options& options) {
  std::string text;
  for (const Problem& problem : check_options(options)) text += problem.message + "\n";
  return text;
}

TEST_CASE("odd sizes name the nearest legal ones") {
  Options options;
  options.width = 517;
  options.height = 512;
  CHECK(problems(options) == "517x512: width must be a multiple of 8: 512 or 520\n");
  options.height = 99;
  CHECK(problems(options) ==
        "517x99: width must be a multiple of 8: 512 or 520, height must be a multiple of 8: 96 or "
        "104\n");
  options.height.reset();
  CHECK(problems(options) == "width 517: width must be a multiple of 8: 512 or 520\n");
  options.width = 0;
  CHECK(problems(options).find("--width: 0 is not within") == 0);
  options.width = -8;
  CHECK(problems(options).find("--width: -8 is not within") == 0);
  options.width = 8192;
  options.height = 8192;
  CHECK(problems(options).empty());
  options.height = 8200;
  CHECK(problems(options).find("at most 67108864 pixels") != std::string::npos);
}

TEST_CASE("lists of numbers are checked as a whole") {
  Options options;
  options.guidance_interval = "0.2,0.8";
  options.freeu = "1.5,1.6,0.9,0.2";
  CHECK(problems(options).empty());
  for (const char* bad : {"", "0.2", "0.8,0.2", "0,1.5", "-0.1,1", "0,1,1", "a,b", "0,nan"}) {
    INFO(bad);
    options.guidance_interval = bad;
    CHECK(problems(options) == "--guidance-interval: \"" + std::string(bad) +
                                   "\" is not two numbers A,B with 0 ≤ A ≤ B ≤ 1\n");
  }
  options.guidance_interval.reset();
  for (const char* bad : {"1,1,1", "1,1,0,1", "1,1,-1,1", "1,1,1,11", "1,1,1,1,"}) {
    INFO(bad);
    options.freeu = bad;
    CHECK(problems(options) == "--freeu: \"" + std::string(bad) +
                                   "\" is not four numbers B1,B2,S1,S2 above 0 and up to 10\n");
  }
  options.freeu.reset();
  options.pag_layers = "mid";
  CHECK(problems(options) == "--pag-layers needs perturbed-attention guidance\n");
  options.pag_scale = 3;
  CHECK(problems(options).empty());
}

TEST_CASE("options that need or exclude each other") {
  Options options;
  options.strength = 0.5;
  CHECK(problems(options).find("--strength needs") != std::string::npos);
  options.init_image = "a.png";
  CHECK(problems(options).empty());
  options.guidance_rescale = 0.7;
  CHECK(problems(options).find("text to image only") != std::string::npos);
  options.guidance_rescale.reset();
  options.init_latents = "l.safetensors";
  CHECK(problems(options).find("exclude") != std::string::npos);
  Options mode;
  mode.strength_mode = "exact";
  CHECK(problems(mode).find("--strength-mode") != std::string::npos);
  Options lora;
  lora.lora_partial = true;
  CHECK(problems(lora).find("--lora-partial") != std::string::npos);
}

TEST_CASE("device words") {
  Options options;
  for (const char* good : {"auto", "cpu", "cuda", "cuda:0", "cuda:12"}) {
    options.device = good;
    CHECK(problems(options).empty());
  }
  for (const char* bad : {"gpu", "cuda:", "cuda:x", "cuda:-1", "cpu:0", ""}) {
    options.device = bad;
    CHECK(problems(options).find("unknown device") == 0);
  }
}

TEST_CASE("the last image's seed must exist") {
  Options options;
  options.seed = 18446744073709551615U;
  CHECK(problems(options).empty());
  options.num_images = 2;
  CHECK(problems(options).find("exceeds") != std::string::npos);
}

}  // namespace
}  // namespace ldm::app
