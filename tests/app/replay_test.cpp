#include <functional>
#include <nlohmann/json.hpp>

#include "ldm/app/check_options.h"
#include "ldm/app/metadata.h"
#include "ldm/app/option_values.h"
#include "ldm/app/recorded_picture.h"
#include "ldm/app/replay_report.h"
#include "ldm/app/resolve.h"
#include "ldm/core/error.h"
#include "ldm/schedulers/registry.h"
#include "tests/support/catch.h"

namespace ldm::app {
namespace {

using Json = nlohmann::ordered_json;

const std::string kHash(64, 'a');

/// What a run with these options and a start picture or none records for image `index`.
RunFacts facts_of(const Options& options, const Inputs& inputs, ImageCondition condition) {
  RunFacts facts;
  Plan& plan = facts.plan;
  plan.request = make_request(options, inputs);
  plan.condition = condition;
  plan.image_to_image = inputs.init_image != nullptr || plan.request.use_strength;
  if (!plan.request.strength) plan.request.strength = 0.8;
  if (options.mask || options.outpaint) plan.mask = std::make_shared<GreyImage>();
  plan.prompts[0].texts[0].ids = {1, 2, 3};
  if (plan.request.hires) plan.second_pass = std::make_shared<Plan>(plan);
  facts.model_name = "default";
  facts.execution = {"cpu", "A CPU", "fp32", "AVX2", 2};
  facts.determinism = {{"deterministic_algorithms", "false"}};
  facts.weights = {{"unet", kHash}};
  if (inputs.init_image) facts.init_image_sha256 = kHash;
  return facts;
}

Options complete() {
  Options options;
  options.prompt = "a \"red\" apple\nüber 🍎";
  options.negative_prompt = "blurry";
  options.seed = 18446744073709551610U;
  options.num_images = 4;
  options.width = 512;
  options.height = 768;
  options.steps = 31;
  options.guidance_scale = 7.1;
  options.guidance_rescale = 0;
  options.sampler = "ddim";
  return options;
}

/// The request that the text of a picture gives, as it was recorded itself.
void check_round_trip(const Options& options, const Inputs& inputs = {},
                      ImageCondition condition = ImageCondition::kNone) {
  const RunFacts facts = facts_of(options, inputs, condition);
  ImageResult result;
  result.index = 2;
  result.seed = *options.seed + 2;
  result.stages = {kHash, kHash, kHash, kHash, kHash, kHash};
  const auto text = picture_text(MetadataMode::kFull, facts, result);
  INFO(text[1].value);
  const RecordedPicture recorded = read_recorded_picture(text, "a.png");
  CHECK(recorded.own);
  CHECK(recorded.notes.empty());
  CHECK(recorded.index == 2);
  CHECK(recorded.options.seed == result.seed);
  Inputs again = inputs;
  again.prompt = recorded.options.prompt.value_or("");
  again.negative_prompt = recorded.options.negative_prompt.value_or("");
  Options rebuilt = recorded.options;
  if (options.init_image) rebuilt.init_image = options.init_image;
  if (options.mask) rebuilt.mask = options.mask;
  if (options.init_latents) rebuilt.init_latents = options.init_latents;
  CHECK(check_options(rebuilt).empty());
  const RunFacts made = facts_of(rebuilt, again, condition);
  CHECK(job_hash(made, result.seed) == recorded.job);
  Json expected = request_json(facts.plan);
  Json found = request_json(made.plan);
  for (const char* of_the_run : {"seed", "num_images", "batch_size", "low_memory"}) {
    expected.erase(of_the_run);
    found.erase(of_the_run);
  }
  CHECK(found == expected);
}

Inputs texts(const Options& options) {
  Inputs inputs;
  inputs.prompt = options.prompt.value_or("");
  inputs.negative_prompt = options.negative_prompt.value_or("");
  return inputs;
}

Inputs with_picture(const Options& options) {
  Inputs inputs = texts(options);
  inputs.init_image = std::make_shared<Image>();
  return inputs;
}

TEST_CASE("a request comes back from a picture whatever its options") {
  const std::vector<std::function<void(Options&)>> changes = {
      [](Options& o) { o.prompt = "-"; },
      [](Options& o) { o.prompt = ""; },
      [](Options& o) { o.seed = 0; },
      [](Options& o) { o.guidance_scale = 0.1 + 0.2; },
      [](Options& o) { o.guidance_rescale = 0.7; },
      [](Options& o) { o.eta = 0.25; },
      [](Options& o) { o.schedule = "karras"; },
      [](Options& o) { o.schedule_rho = 5; },
      [](Options& o) { o.compat = "a1111"; },
      [](Options& o) { o.timestep_spacing = "trailing"; },
      [](Options& o) { o.prediction_type = "v_prediction"; },
      [](Options& o) { o.rescale_betas_zero_snr = true; },
      [](Options& o) { o.rescale_betas_zero_snr = false; },
      [](Options& o) { o.clip_skip = 2; },
      [](Options& o) { o.long_prompt = "error"; },
      [](Options& o) { o.long_prompt = "chunk"; },
      [](Options& o) { o.prompt_syntax = "weighted"; },
      [](Options& o) {
        o.prompt_syntax = "weighted";
        o.prompt_weighting = "comfyui";
      },
      [](Options& o) { o.vae_tiling = "on"; },
      [](Options& o) { o.hires_scale = 1.5; },
      [](Options& o) {
        o.hires_scale = 2;
        o.hires_strength = 0.3;
        o.hires_steps = 7;
        o.hires_upscaler = "image";
        o.strength_mode = "exact";
      },
      [](Options& o) { o.vae_tiling = "off"; },
      [](Options& o) { o.low_memory = true; }};
  for (const std::string& sampler : sampler_names()) {
    Options options = complete();
    options.sampler = sampler;
    check_round_trip(options, texts(options));
  }
  for (const auto& list : {&Options::sigmas, &Options::timesteps}) {
    Options options = complete();
    options.*list = "14.5,3,0.25";
    options.steps = 3;
    check_round_trip(options, texts(options));
  }
  for (std::size_t i = 0; i < changes.size(); ++i) {
    for (std::size_t k = i; k < changes.size(); ++k) {
      Options options = complete();
      changes[i](options);
      changes[k](options);
      check_round_trip(options, texts(options));
    }
  }
}

TEST_CASE("seamless sides come back") {
  for (const char* sides : {"x", "y", "xy"}) {
    Options options = complete();
    options.tile = sides;
    check_round_trip(options, texts(options));
  }
}

TEST_CASE("what only some models read comes back too") {
  Options options = complete();
  options.init_image = "photo.png";
  for (const char* mode : {"scaled", "exact"}) {
    options.strength = 0.35;
    options.strength_mode = mode;
    check_round_trip(options, with_picture(options));
  }
  options.mask = "mask.png";
  for (const bool inverted : {false, true}) {
    options.invert_mask = inverted;
    check_round_trip(options, with_picture(options), ImageCondition::kMaskedImage);
    options.mask_blur = 2.5;
    check_round_trip(options, with_picture(options));
  }
  Options grown = complete();
  grown.init_image = "photo.png";
  grown.outpaint = "0,8,16,0";
  check_round_trip(grown, with_picture(grown));
  Options edit = complete();
  edit.image_guidance_scale = 1.25;
  check_round_trip(edit, texts(edit), ImageCondition::kImage);
  Options upscaled = complete();
  upscaled.noise_level = 35;
  check_round_trip(upscaled, texts(upscaled), ImageCondition::kLowResImage);
  Options classes = complete();
  classes.prompt.reset();
  classes.negative_prompt.reset();
  classes.class_label = 207;
  check_round_trip(classes);
  Options latents = complete();
  latents.init_latents = "l.safetensors";
  latents.strength = 0.5;
  check_round_trip(latents, texts(latents));
}

Json settings() {
  const Options options = complete();
  ImageResult result;
  result.seed = 7;
  result.stages = {kHash, kHash, kHash, kHash, kHash, kHash};
  RunFacts facts = facts_of(options, with_picture(options), ImageCondition::kNone);
  facts.plan.loras = {{"ink.safetensors", kHash, 0.5, 3, 6, 0, false, {}},
                      {"pen.safetensors", kHash, 0.25, 3, 6, 0, true, {}}};
  facts.embeddings = {{"cat.pt", "<cat>", kHash, 2}};
  facts.vae_name = "vae";
  return picture_settings(facts, result);
}

RecordedPicture read(const Json& json) {
  return read_recorded_picture(std::vector<PngText>{{"ldm-gen", json.dump()}}, "a.png");
}

TEST_CASE("a picture's provenance is read") {
  const RecordedPicture recorded = read(settings());
  CHECK(recorded.model == "default");
  CHECK(recorded.vae == "vae");
  CHECK(recorded.files.at("init_image_sha256") == kHash);
  REQUIRE(recorded.loras.size() == 2);
  CHECK(recorded.loras[0].scale == 0.5);
  CHECK_FALSE(recorded.loras[0].from_prompt);
  CHECK(recorded.loras[1].from_prompt);
  REQUIRE(recorded.embeddings.size() == 1);
  CHECK(recorded.embeddings[0].word == "<cat>");
  CHECK(recorded.weights.at("unet") == kHash);
  CHECK(recorded.stages.first_latents == kHash);
  CHECK(recorded.options.threads == 2);
  CHECK(recorded.options.dtype == "fp32");
  CHECK(recorded.options.device == "cpu");
  CHECK(recorded.environment.at("isa") == "AVX2");
  CHECK(recorded.environment.at("threads") == "2");
  CHECK(recorded.environment.at("determinism.deterministic_algorithms") == "false");
  CHECK_FALSE(recorded.options.num_images);
  CHECK_FALSE(recorded.options.fast);
  Json fast = settings();
  fast["fast"] = true;
  fast["products"] = "int8";
  CHECK(read(fast).options.fast == true);
  CHECK(read(fast).environment.at("products") == "int8");
  Json many = settings();
  many["threads"] = 1000000;
  CHECK_FALSE(read(many).options.threads);
}

TEST_CASE("a GPU is recorded by its name, whatever its number") {
  RunFacts facts = facts_of(complete(), {}, ImageCondition::kNone);
  facts.execution.device = "cuda:3";
  facts.execution.device_name = "A GPU";
  const Json json = picture_settings(facts, {});
  CHECK(json["device"] == "cuda");
  CHECK(json["gpu"] == "A GPU");
  CHECK(read(json).options.device == "cuda");
}

TEST_CASE("ill-typed, missing and foreign fields are named") {
  const std::vector<std::pair<std::string, std::function<void(Json&)>>> cases = {
      {"/schema", [](Json& j) { j["schema"] = 2; }},
      {"/schema", [](Json& j) { j.erase("schema"); }},
      {"/seed", [](Json& j) { j.erase("seed"); }},
      {"/seed", [](Json& j) { j["seed"] = -1; }},
      {"/seed", [](Json& j) { j["seed"] = 1.5; }},
      {"/index", [](Json& j) { j["index"] = "2"; }},
      {"/index", [](Json& j) { j["index"] = 9223372036854775807; }},
      {"/index", [](Json& j) { j["index"] = -1; }},
      {"/request", [](Json& j) { j["request"] = 3; }},
      {"/request", [](Json& j) { j.erase("request"); }},
      {"/request/steps", [](Json& j) { j["request"].erase("steps"); }},
      {"/request/steps", [](Json& j) { j["request"]["steps"] = "many"; }},
      {"/request/steps", [](Json& j) { j["request"]["steps"] = 0; }},
      {"/request/prompt", [](Json& j) { j["request"]["prompt"] = Json::object(); }},
      {"prompt", [](Json& j) { j["request"]["prompt"] = std::string("a\0b", 3); }},
      {"/request/sampler", [](Json& j) { j["request"]["sampler"] = "rm -rf"; }},
      {"/request/eta", [](Json& j) { j["request"]["eta"] = nullptr; }},
      {"/request/save_latents", [](Json& j) { j["request"]["save_latents"] = "/tmp/x"; }},
      {"/request/model", [](Json& j) { j["request"]["model"] = "/tmp/x"; }},
      {"/request/init_image", [](Json& j) { j["request"]["init_image"] = "/etc/passwd"; }},
      {"/request/config", [](Json& j) { j["request"]["config"] = "/tmp/x"; }},
      {"/request/unheard_of", [](Json& j) { j["request"]["unheard_of"] = 1; }},
      {"/fast", [](Json& j) { j["fast"] = "very"; }},
      {"/dtype", [](Json& j) { j["dtype"] = "fp4"; }},
      {"/device", [](Json& j) { j["device"] = 1; }},
      {"/threads", [](Json& j) { j["threads"] = "all"; }},
      {"/model", [](Json& j) { j["model"] = Json::array(); }},
      {"/init_image_sha256", [](Json& j) { j["init_image_sha256"] = "short"; }},
      {"/weights", [](Json& j) { j["weights"] = "none"; }},
      {"/weights/unet", [](Json& j) { j["weights"]["unet"] = 5; }},
      {"/stages", [](Json& j) { j["stages"] = 1; }},
      {"/stages/picture", [](Json& j) { j["stages"]["picture"] = std::string(64, 'G'); }},
      {"/lora", [](Json& j) { j["lora"] = "x"; }},
      {"/lora/0", [](Json& j) { j["lora"][0] = 1; }},
      {"/lora/0/scale", [](Json& j) { j["lora"][0].erase("scale"); }}};
  for (const auto& [field, change] : cases) {
    INFO(field);
    Json json = settings();
    change(json);
    try {
      read(json);
      FAIL("accepted");
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::kInput);
      INFO(error.message());
      CHECK(error.message().starts_with("a.png: "));
      CHECK(error.message().find(field) != std::string::npos);
    }
  }
  CHECK_THROWS_AS(read_recorded_picture(std::vector<PngText>{{"Comment", "x"}}, "a.png"), Error);
  CHECK_THROWS_AS(read_recorded_picture(std::vector<PngText>{}, "a.png"), Error);
}

RecordedPicture foreign(const std::string& text) {
  return read_recorded_picture(std::vector<PngText>{{"parameters", text}}, "a.png");
}

TEST_CASE("other tools' text gives its settings and says what is left out") {
  const RecordedPicture recorded = foreign(
      "a cat\nNegative prompt: ugly\nSteps: 20, Sampler: DPM++ 2M, Schedule type: Karras, "
      "CFG scale: 7, Seed: 5, Size: 512x768, Model hash: 0123456789, Model: sd15, "
      "Denoising strength: 0.5, Clip skip: 2, Hires upscale: 2, Version: v1.9");
  CHECK_FALSE(recorded.own);
  CHECK(recorded.model == "sd15");
  CHECK(recorded.model_hash == "0123456789");
  CHECK(recorded.options.prompt == "a cat");
  CHECK(recorded.options.negative_prompt == "ugly");
  CHECK(recorded.options.sampler == "dpmpp-2m");
  CHECK(recorded.options.steps == 20);
  CHECK(recorded.options.seed == 5U);
  CHECK(recorded.options.height == 768);
  CHECK(recorded.options.clip_skip == 1);
  CHECK_FALSE(recorded.options.strength);
  CHECK(recorded.options.hires_scale == 2);
  CHECK(recorded.options.hires_strength == 0.5);
  CHECK(recorded.options.strength_mode == "exact");
  CHECK(recorded.options.schedule == "karras");
  CHECK(recorded.notes.empty());
  const RecordedPicture resized = foreign(
      "x\nSteps: 2, Sampler: DDIM, CFG scale: 7, Seed: 5, Size: 64x64, Denoising strength: 0.5, "
      "Hires resize: 96x96, Hires upscaler: Latent");
  CHECK_FALSE(resized.options.strength);
  CHECK_FALSE(resized.options.hires_upscaler);
  CHECK(resized.notes.size() == 3);
  const auto schedule_of = [](const std::string& how) {
    return foreign("x\nSteps: 3, Seed: 1, " + how).options.schedule.value_or("");
  };
  CHECK(schedule_of("Sampler: DPM++ 3M SDE, Schedule type: SGM Uniform") == "sgm-uniform");
  CHECK(schedule_of("Sampler: Euler, Schedule type: Align Your Steps") == "ays");
  CHECK(schedule_of("Sampler: DDIM, Schedule type: Karras").empty());
  CHECK(schedule_of("Sampler: Euler, Schedule type: Automatic").empty());
  const RecordedPicture little = foreign("x [y]\nSteps: 0, Seed: 1, Sampler: Other");
  CHECK(little.notes.size() == 5);
  CHECK(little.options.prompt_syntax == "weighted");
  CHECK(little.options.long_prompt == "chunk");
  CHECK_FALSE(recorded.options.prompt_syntax);
  const RecordedPicture wrong = foreign("x (y\nSteps: 2, Seed: 1, Emphasis: No norm");
  CHECK_FALSE(wrong.options.prompt_syntax);
  CHECK_THAT(wrong.notes.back(),
             Contains("brackets are read as plain text") && Contains("never closed"));
  CHECK_FALSE(little.options.sampler);
  CHECK_FALSE(little.options.steps);
  CHECK_THROWS_AS(foreign("x\nSteps: 3"), Error);
  CHECK_THROWS_AS(foreign("x\nSteps: 3, Seed: -1"), Error);
  CHECK_THROWS_AS(foreign(""), Error);
}

TEST_CASE("the distance of two pictures") {
  const Image a{2, 1, {0, 1, 2, 3, 4, 5}};
  Image b = a;
  CHECK_FALSE(compare_pixels(a, b).any());
  b.rgb[5] = 15;
  const PixelDifference difference = compare_pixels(a, b);
  CHECK(difference.any());
  CHECK(difference.largest == 10);
  // 10 log10(255² · 6 / 10²)
  CHECK(difference.psnr_db == Approx(35.9123).epsilon(1e-4));
  CHECK_FALSE(compare_pixels(a, Image{1, 2, a.rgb}).same_size);
}

TEST_CASE("a replay's verdict names the first stage and what else differs") {
  const Json made = settings();
  const auto verdict = [&](const std::function<void(Json&)>& change,
                           const PixelDifference& pixels) {
    Json before = made;
    change(before);
    return compare_replay(read(before), made, pixels);
  };
  const PixelDifference none;
  const PixelDifference some{true, 12, 30.25};
  CHECK(verdict([](Json&) {}, none).first_difference().empty());
  CHECK(verdict([](Json&) {}, some).first_difference() == "file");
  CHECK(verdict([](Json& j) { j.erase("stages"); }, some).first_difference() == "pixels");
  CHECK(verdict([](Json& j) { j.erase("stages"); }, none).first_difference().empty());
  const ReplayReport report = verdict(
      [](Json& j) {
        j["stages"]["latents"] = std::string(64, 'b');
        j["stages"]["picture"] = std::string(64, 'b');
        j["weights"]["unet"] = std::string(64, 'c');
        j["isa"] = "AVX512";
      },
      some);
  CHECK(report.first_difference() == "latents");
  const Error error = replay_error(report, "a.png");
  CHECK(error.exit_code() == 8);
  CHECK(error.message() ==
        "a.png: first differs at latents; pixels differ by up to 12 of 255, PSNR 30.3 dB; also "
        "different: unet weights aaaaaaaaaa… (recorded cccccccccc…), isa AVX2 (recorded AVX512)");
  const Json event = replay_event(report, "a.png");
  CHECK(event["first_difference"] == "latents");
  CHECK(event["stages"][3]["name"] == "base_latents");
  CHECK(event["stages"][4]["name"] == "latents");
  CHECK(event["stages"][4]["same"] == false);
  CHECK(event["stages"][2]["same"] == true);
}

}  // namespace
}  // namespace ldm::app
