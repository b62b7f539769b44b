// Pictures to start from and to repaint, as users give them.
#include <algorithm>
#include <array>
#include <cstdlib>

#include "ldm/io/hash.h"
#include "ldm/io/image.h"
#include "ldm/io/safetensors.h"
#include "tests/cli/ldm_gen.h"
#include "tests/io/pattern.h"
#include "tests/support/catch.h"

namespace ldm::test {
namespace {

using Args = std::vector<std::string>;

/// A command for the tiny model, of one step unless `more` says how many.
Args quick(const Args& more) {
  Args args = {"--model", tiny_model().string(), "-p", "a cat", "--threads", "1", "-s", "3"};
  if (std::find(more.begin(), more.end(), "--steps") == more.end()) {
    args.insert(args.end(), {"--steps", "1"});
  }
  args.insert(args.end(), more.begin(), more.end());
  return args;
}

Image made(const TempDir& dir, const std::string& name, const Args& more) {
  Args args = quick(more);
  args.insert(args.end(), {"-o", name});
  const ProgramResult result = ldm_gen_in(dir, args);
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  return load_image(dir / name);
}

/// A mask of one half: white from column `from` on.
Image half_mask(int width, int height, int from) {
  Image mask{width, height, {}};
  for (int i = 0; i < width * height * 3; ++i) {
    mask.rgb.push_back(i / 3 % width >= from ? 255 : 0);
  }
  return mask;
}

bool says(const ProgramResult& result, const std::string& part) {
  return result.err.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("pictures of every orientation and kind come in by their pixels") {
  const TempDir dir;
  const SafetensorsFile expected(test_file("io/data/expected.safetensors"));
  Args names = {"type2_16.png", "type4_16.png",      "type6_16.png",  "type0_16.png",
                "type6_8.png",  "palette_alpha.png", "rgb_exif_6.png"};
  for (int k = 1; k <= 8; ++k) names.push_back("exif_" + std::to_string(k) + ".jpg");
  for (const std::string& name : names) {
    INFO(name);
    // Beside new canvas the picture stays as it was read.
    const Image image =
        made(dir, "out.png",
             {"-i", test_file("io/data/" + name).string(), "--outpaint", "0,0,1,1", "--overwrite"});
    const TensorInfo& info = *expected.find(name);
    const auto height = static_cast<int>(info.shape[0]);
    const auto width = static_cast<int>(info.shape[1]);
    CHECK(image.width == (width + 8) / 8 * 8);
    CHECK(image.height == (height + 8) / 8 * 8);
    Image pixels{width, height, std::vector<std::uint8_t>(info.byte_size())};
    expected.read(info, std::as_writable_bytes(std::span(pixels.rgb)));
    int most = 0;
    for (std::size_t i = 0; i < pixels.rgb.size(); ++i) {
      const std::size_t row = i / (static_cast<std::size_t>(width) * 3);
      const std::size_t at = row * static_cast<std::size_t>(image.width) * 3 +
                             i % (static_cast<std::size_t>(width) * 3);
      most = std::max(most, std::abs(image.rgb.at(at) - pixels.rgb[i]));
    }
    // Pillow's decoder rounds JPEG differently.
    CHECK(most <= (name.ends_with(".jpg") ? 2 : 0));
  }
}

TEST_CASE("what a mask keeps is kept to the byte, is recorded, and comes again") {
  const TempDir dir;
  const Image start = pattern(64, 64);
  write_png(dir, "start.png", start);
  write_png(dir, "mask.png", half_mask(64, 64, 32));
  const Args from = {"-i", "start.png", "--mask", "mask.png"};
  Args blurred = from;
  blurred.insert(blurred.end(), {"--mask-blur", "2"});
  const Image image = made(dir, "a.png", blurred);
  std::size_t different = 0;
  for (std::size_t i = 0; i < image.rgb.size(); ++i) {
    // Three boxes reach 6 pixels at most.
    if (i / 3 % 64 < 26 && image.rgb[i] != start.rgb[i]) ++different;
  }
  CHECK(different == 0);
  CHECK(image.rgb != start.rgb);
  const nlohmann::json settings = settings_of(dir / "a.png");
  CHECK(settings["mask_sha256"] == sha256_file(dir / "mask.png"));
  CHECK(settings["request"]["mask_blur"] == 2);
  CHECK(settings["request"]["strength"] == 1);
  CHECK(text_of(dir / "a.png")[0].value.find("Mask blur: 2") != std::string::npos);
  Args again = {"replay", "a.png", "--model", tiny_model().string()};
  again.insert(again.end(), from.begin(), from.end());
  CHECK(says(ldm_gen_in(dir, again), "identical"));
  // The other half, as image 2 of 2 and as a job.
  Args other = from;
  other.insert(other.end(), {"--invert-mask", "-N", "2", "--batch-size", "2"});
  Args args = quick(other);
  args.insert(args.end(), {"-o", "n.png"});
  REQUIRE(ldm_gen_in(dir, args).exit_code == 0);
  dir.write("jobs.jsonl", R"({"prompt": "a cat", "seed": 4, "steps": 1, "init_image": "start.png",)"
                          R"( "mask": "mask.png", "invert_mask": true, "output": "j.png"})"
                          "\n");
  REQUIRE(ldm_gen_in(dir, {"--model", tiny_model().string(), "--jobs", "jobs.jsonl", "--output-dir",
                           "out", "--threads", "1"})
              .exit_code == 0);
  CHECK(largest_difference(load_image(dir / "n-0002.png"), load_image(dir / "out/j.png")) <= 1);
}

TEST_CASE("strength 0, strength 1, one step and guidance up to 1 do what they say") {
  const TempDir dir;
  write_png(dir, "start.png", pattern(64, 64));
  const auto plan_of = [&](const Args& more) {
    Args args = quick(more);
    args.insert(args.end(), {"--dry-run", "--json"});
    const ProgramResult result = ldm_gen_in(dir, args);
    INFO(result.err);
    REQUIRE(result.exit_code == 0);
    return events(result.out).front();
  };
  const Args four = {"--steps", "4", "--sampler", "ddim", "-i", "start.png", "--strength"};
  const auto at_strength = [&](const char* strength) {
    Args args = four;
    args.emplace_back(strength);
    return plan_of(args)["unet_calls"];
  };
  CHECK(at_strength("0") == 0);
  CHECK(at_strength("0.25") == 1);
  CHECK(at_strength("1") == 4);
  // No step: the picture through the autoencoder, whatever the prompt and the guidance.
  const Args none = {"-i", "start.png", "--strength", "0"};
  Args prompted = none;
  prompted.insert(prompted.end(), {"-n", "something else", "-g", "9"});
  CHECK(made(dir, "a.png", none).rgb == made(dir, "b.png", prompted).rgb);
  // Up to 1 nothing guides: the negative prompt is not read.
  const Image unguided = made(dir, "one.png", {"-g", "1"});
  CHECK(made(dir, "zero.png", {"-g", "0", "-n", "blurry"}).rgb == unguided.rgb);
  CHECK(made(dir, "minus.png", {"-g", "-1"}).rgb == unguided.rgb);
  CHECK(made(dir, "two.png", {"-g", "2"}).rgb != unguided.rgb);
  CHECK(plan_of({"-g", "-1"})["guided"] == false);
  CHECK(plan_of({"-g", "1.001"})["guided"] == true);
}

TEST_CASE("new canvas, a second pass and seamless sides are planned, recorded and replayed") {
  const TempDir dir;
  write_png(dir, "start.png", pattern(60, 64));
  const Args model = {"--model", tiny_model().string()};
  const auto replayed = [&](const std::string& name, const Args& more) {
    Args args = {"replay", name, model[0], model[1]};
    args.insert(args.end(), more.begin(), more.end());
    const ProgramResult result = ldm_gen_in(dir, args);
    INFO(result.err);
    CHECK(result.exit_code == 0);
    CHECK(says(result, "identical"));
  };
  CHECK(made(dir, "out.png", {"-i", "start.png", "--outpaint", "0,0,10,0"}).width == 72);
  CHECK(settings_of(dir / "out.png")["request"]["outpaint"] == "0,0,10,0");
  replayed("out.png", {"-i", "start.png"});
  const Args hires = {"--steps",          "2",   "--hires-scale",    "1.5",
                      "--hires-strength", "0.5", "--hires-upscaler", "image"};
  CHECK(made(dir, "hires.png", hires).width == 96);
  const nlohmann::json settings = settings_of(dir / "hires.png");
  CHECK(settings["request"]["width"] == 64);
  CHECK(settings["request"]["hires_scale"] == 1.5);
  CHECK(settings["stages"].contains("base_latents"));
  const std::string line = text_of(dir / "hires.png")[0].value;
  CHECK(line.find("Denoising strength: 0.5, Hires upscale: 1.5, Hires steps: 1, "
                  "Hires upscaler: Lanczos") != std::string::npos);
  replayed("hires.png", {});
  CHECK(made(dir, "tile.png", {"--tile", "xy"}).rgb != made(dir, "plain.png", {}).rgb);
  CHECK(text_of(dir / "tile.png")[0].value.find("Tiling: True") != std::string::npos);
  replayed("tile.png", {});
  Args planned = quick(hires);
  planned.insert(planned.end(), {"--dry-run", "--json"});
  const nlohmann::json plan = events(ldm_gen_in(dir, planned).out).front();
  CHECK(plan["hires"]["width"] == 96);
  CHECK(plan["unet_calls"] ==
        plan["timesteps"].size() + plan["hires"]["unet_calls"].get<std::size_t>());
  Args shown = quick(hires);
  shown.emplace_back("--dry-run");
  CHECK(ldm_gen_in(dir, shown).out.find("hires       96x96, latents 4x12x12") != std::string::npos);
  Args swept = quick({"--sweep", "tile=x,y,xy", "--output-dir", "sweep"});
  CHECK(ldm_gen_in(dir, swept).exit_code == 0);
  CHECK(load_image(dir / "sweep/000000-3.png").rgb != load_image(dir / "sweep/000001-3.png").rgb);
  CHECK(load_image(dir / "sweep/000002-3.png").rgb == load_image(dir / "tile.png").rgb);
}

TEST_CASE("a seamless picture goes on at its opposite edge") {
  const TempDir dir;
  const ProgramResult result =
      ldm_gen_in(dir, {"-p", "a red apple on a blue background", "--steps", "6", "-s", "1",
                       "--threads", "1", "--tile", "xy", "-o", "a.png"});
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  const Image image = load_image(dir / "a.png");
  const auto value = [&](int x, int y, int c) {
    return static_cast<int>(image.rgb[static_cast<std::size_t>((y % 128 * 128 + x % 128) * 3 + c)]);
  };
  // Mean difference of a column (row) and the one after it, the last one's after it is the first.
  std::array<std::array<double, 128>, 2> steps{};
  for (int i = 0; i < 128; ++i) {
    for (int k = 0; k < 128; ++k) {
      for (int c = 0; c < 3; ++c) {
        steps[0][static_cast<std::size_t>(i)] += std::abs(value(i + 1, k, c) - value(i, k, c));
        steps[1][static_cast<std::size_t>(i)] += std::abs(value(k, i + 1, c) - value(k, i, c));
      }
    }
  }
  for (const auto& along : steps) CHECK(along[127] <= *std::max_element(&along[0], &along[127]));
}

TEST_CASE("what cannot be repainted or enlarged is refused in one line") {
  const TempDir dir;
  write_png(dir, "start.png", pattern(64, 64));
  write_png(dir, "small.png", half_mask(32, 64, 0));
  struct Refusal {
    Args args;
    int exit_code;
    std::string says;
  };
  const std::vector<Refusal> cases = {
      {{"-i", "start.png", "--mask", "small.png"}, 3, "the mask has 32x64 pixels"},
      {{"-i", "start.png", "--mask", "small.png"}, 3, "masks 64x64"},
      {{"--mask", "small.png"}, 2, "--mask needs a picture"},
      {{"--mask-blur", "2"}, 2, "--mask-blur needs a mask"},
      {{"-i", "start.png", "--mask", "small.png", "--mask-blur", "-1"}, 2, "--mask-blur"},
      {{"-i", "start.png", "--outpaint", "8,8"}, 2, "\"8,8\" is not LEFT,TOP,RIGHT,BOTTOM"},
      {{"-i", "start.png", "--outpaint", "0,0,0,0"}, 2, "one of them over 0"},
      {{"-i", "start.png", "--outpaint", "0,0,-8,0"}, 2, "--outpaint"},
      {{"--outpaint", "0,0,8,0"}, 2, "--outpaint needs a picture"},
      {{"-i", "start.png", "--outpaint", "0,0,8,0", "-W", "64"}, 2, "--outpaint gives 72x64"},
      {{"--hires-strength", "0.5"}, 2, "--hires-strength needs a second pass"},
      {{"--hires-scale", "0.5"}, 2, "--hires-scale"},
      {{"--hires-scale", "2", "-i", "start.png"}, 2, "text to image only"},
      {{"--hires-scale", "2", "--hires-upscaler", "esrgan"}, 2, "unknown hires-upscaler"},
      {{"--tile", "z"}, 2, "unknown tile"},
      {{"--tile", "x", "--vae-tiling", "on"}, 2, "exclude each other"},
  };
  for (const Refusal& c : cases) {
    const ProgramResult result = ldm_gen_in(dir, quick(c.args));
    INFO(c.says << "\n" << result.err);
    CHECK(result.exit_code == c.exit_code);
    CHECK(says(result, c.says));
    CHECK(result.out.empty());
  }
}

}  // namespace ldm::test
