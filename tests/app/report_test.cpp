#include <functional>
#include <nlohmann/json.hpp>

#include "ldm/app/events.h"
#include "ldm/app/metadata.h"
#include "ldm/app/plan_text.h"
#include "ldm/app/progress.h"
#include "ldm/app/run_report.h"
#include "ldm/io/file.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace ldm::app {
namespace {

RunFacts sample_facts() {
  RunFacts facts;
  Request& request = facts.plan.request;
  request.prompt = "a red apple";
  request.negative_prompt = "blurry";
  request.seed = 42;
  request.num_images = 2;
  request.batch_size = 1;
  request.width = 512;
  request.height = 768;
  request.sampler = "euler-a";
  facts.plan.timesteps = {999, 500.5};
  facts.plan.sigmas = {14.5, 1.25, 0};
  facts.plan.steps = 2;
  facts.plan.scheduler_class = "EulerAncestralDiscreteScheduler";
  facts.plan.latent_shape = {4, 96, 64};
  facts.plan.prompts[0].texts[0].ids = {1, 2, 3};
  facts.plan.prompts[0].texts[0].token_count = 3;
  facts.model_name = "sd15";
  facts.family = "Stable Diffusion 1.x";
  facts.execution = {"cpu", "A CPU", "fp32", "AVX2", 2};
  facts.determinism = {{"float32_matmul", "ieee"}};
  facts.weights = {{"unet", std::string(64, 'a')}, {"vae", std::string(64, 'b')}};
  return facts;
}

ImageResult picture(std::uint64_t seed, int index) {
  ImageResult result;
  result.seed = seed;
  result.index = index;
  return result;
}

TEST_CASE("the parameters text is the one other tools read") {
  RunFacts facts = sample_facts();
  CHECK(parameters_text(facts, 43) ==
        "a red apple\nNegative prompt: blurry\nSteps: 30, Sampler: Euler a, CFG scale: 7.5, Seed: "
        "43, "
        "Size: 512x768, Model hash: aaaaaaaaaa, Model: sd15, Version: ldm-gen 0.1.0");
  facts.plan.request.negative_prompt.clear();
  facts.plan.image_to_image = true;
  facts.plan.request.strength = 0.8;
  facts.plan.request.clip_skip = 1;
  facts.model_name = "a, b";
  facts.weights.clear();
  facts.plan.loras = {
      {"x.safetensors", std::string(64, 'c'), 0.5, 3, 6, 0, false, std::string(64, 'd')}};
  facts.embeddings = {{"cat.pt", "<cat>", std::string(64, 'e'), 2}};
  CHECK(picture_settings(facts, picture(43, 1))["lora"] ==
        nlohmann::ordered_json::array(
            {{{"name", "x.safetensors"}, {"sha256", std::string(64, 'c')}, {"scale", 0.5}}}));
  CHECK(parameters_text(facts, 43) ==
        "a red apple\nSteps: 30, Sampler: Euler a, CFG scale: 7.5, Seed: 43, Size: 512x768, "
        "Model: \"a, b\", Lora: \"x.safetensors: 0.5\", Lora hashes: \"x: dddddddddddd\", "
        "TI hashes: \"<cat>: eeeeeeeeeeee\", Denoising strength: 0.8, Clip skip: 2, "
        "Version: ldm-gen 0.1.0");
}

TEST_CASE("metadata modes") {
  const RunFacts facts = sample_facts();
  CHECK(picture_text(MetadataMode::kNone, facts, picture(42, 0)).empty());
  REQUIRE(picture_text(MetadataMode::kA1111, facts, picture(42, 0)).size() == 1);
  CHECK(picture_text(MetadataMode::kA1111, facts, picture(42, 0))[0].key == "parameters");
  const auto full = picture_text(MetadataMode::kFull, facts, picture(43, 1));
  REQUIRE(full.size() == 2);
  CHECK(full[1].key == "ldm-gen");
  const auto json = nlohmann::json::parse(full[1].value);
  CHECK(json["schema"] == 1);
  CHECK(json["seed"] == 43);
  CHECK(json["index"] == 1);
  CHECK(json["request"]["prompt"] == "a red apple");
  CHECK(json["request"]["guidance_scale"] == 7.5);
  CHECK(json["weights"]["unet"] == std::string(64, 'a'));
  CHECK(json["model"] == "sd15");
  CHECK(json["dtype"] == "fp32");
  CHECK(json["determinism"]["float32_matmul"] == "ieee");
  CHECK_FALSE(json.contains("stages"));
  CHECK(full[1].value.find('\n') == std::string::npos);
}

TEST_CASE("a picture records its settings") {
  const test::TempDir dir;
  RunFacts facts = sample_facts();
  Image image{2, 1, {0, 1, 2, 3, 4, 5}};
  const auto png = encode_png(image, picture_text(MetadataMode::kFull, facts, picture(42, 0)));
  const auto path = dir / "a.png";
  write_file_atomic(path, png, IfExists::kRefuse);
  const std::string job = job_hash(facts, 42);
  CHECK(job.size() == 64);
  CHECK(records_job(path.string(), job));
  CHECK(!records_job(path.string(), job_hash(facts, 43)));
  CHECK(!records_job(dir.write("b.png", "no PNG").string(), job));
  CHECK(!records_job((dir / "none.png").string(), job));
  const nlohmann::json settings = settings_in_png(png);
  CHECK(settings["job"] == job);
  CHECK(settings["weights"]["unet"] == std::string(64, 'a'));
  auto damaged = png;
  damaged[damaged.size() / 2] ^= std::byte{1};
  CHECK(settings_in_png(damaged).is_null());
}

TEST_CASE("a job's hash knows the wish, not the machine or the batch") {
  const RunFacts facts = sample_facts();
  const std::string job = job_hash(facts, 42);
  const auto changed = [&](const std::function<void(RunFacts&)>& change) {
    RunFacts other = facts;
    change(other);
    return job_hash(other, 42);
  };
  CHECK(changed([](RunFacts& f) { f.execution.threads = 99; }) == job);
  CHECK(changed([](RunFacts& f) { f.execution.dtype = "bf16"; }) == job);
  CHECK(changed([](RunFacts& f) { f.weights.clear(); }) == job);
  CHECK(changed([](RunFacts& f) { f.plan.request.batch_size = 7; }) == job);
  CHECK(changed([](RunFacts& f) { f.plan.request.num_images = 7; }) == job);
  CHECK(changed([](RunFacts& f) { f.asked_dtype = "bf16"; }) != job);
  CHECK(changed([](RunFacts& f) { f.fast = true; }) != job);
  CHECK(changed([](RunFacts& f) { f.execution.products = "int8"; }) == job);
  CHECK(changed([](RunFacts& f) { f.plan.request.prompt = "a pear"; }) != job);
  CHECK(changed([](RunFacts& f) { f.plan.request.num_inference_steps += 1; }) != job);
  CHECK(changed([](RunFacts& f) { f.model_name = "other"; }) != job);
  CHECK(changed([](RunFacts& f) { f.init_image_sha256 = "1"; }) != job);
}

TEST_CASE("events start with their name and schema, one line each") {
  const RunFacts facts = sample_facts();
  const Error error = Error::input("bad\nprompt \x1b[31m", "fix it");
  const std::vector<std::pair<nlohmann::ordered_json, std::string>> events = {
      {plan_event(facts, {"a.png", "b.png"}), "plan"},
      {load_event({"unet", 1.5, "ab", "unverified: x"}), "load"},
      {step_event({0, 2, 0, 1, 999, 0.25}, 1.5, 1e6), "step"},
      {image_event({"a.png", 42, 0, "ab"}, 2.5, {}), "image"},
      {warning_event({LogLevel::kWarning, "prompt-truncated", "m", "h"}), "warning"},
      {error_event(error), "error"},
      {done_event({}, 3), "done"}};
  for (const auto& [event, name] : events) {
    const std::string line = event_line(event);
    CHECK(line.find("{\"event\":\"" + name + "\",\"schema\":1,") == 0);
    CHECK(line.find('\n') == line.size() - 1);
    CHECK(line.find('\x1b') == std::string::npos);
  }
  const auto plan = events[0].first;
  CHECK(plan["timesteps"] == nlohmann::ordered_json({999, 500.5}));
  CHECK(plan["sigmas"].size() == 3);
  CHECK(plan["request"]["seed"] == 42);
  CHECK(plan["outputs"][1] == "b.png");
  CHECK(events[5].first["code"] == "input");
  CHECK(events[5].first["hint"] == "fix it");
  CHECK(events[6].first["exit_code"] == 3);
  for (const char* key : {"start_to_first_step_s", "load_s", "text_encoder_s", "unet_step_s",
                          "decode_s", "total_s", "peak_rss_bytes", "peak_cuda_bytes"}) {
    CHECK(events[6].first["timings"].contains(key));
  }
}

TEST_CASE("an event with broken UTF-8 is still JSON") {
  const std::string line = event_line(image_event({"a\xff.png", 1, 0, ""}, 1, 2));
  CHECK(nlohmann::json::accept(line));
}

TEST_CASE("the plan for people holds what will happen") {
  const std::string text = plan_text(sample_facts(), {"a.png", "b.png"});
  for (const char* part : {"sd15", "512x768", "EulerAncestralDiscreteScheduler", "999 500.5",
                           "14.5 1.25 0", "42…43", "for each of 2 batches", "a.png … b.png"}) {
    INFO(part);
    CHECK(text.find(part) != std::string::npos);
  }
  CHECK(timings_table({}).find("peak memory") != std::string::npos);
  CHECK(seconds_since_process_start() > 0);
}

}  // namespace
}  // namespace ldm::app
