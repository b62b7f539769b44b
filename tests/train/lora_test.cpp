#include "ldm/train/lora.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/stack.h>

#include <set>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/open_tensors.h"
#include "ldm/loading/lora.h"
#include "ldm/train/denoiser_task.h"
#include "ldm/train/process_group.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tensors.h"
#include "tests/train/tiny_denoiser.h"

using namespace ldm;
using namespace ldm::train;

namespace {

RunConfig make_config(const nlohmann::json& lora, const std::string& folder = {},
                      bool checkpointing = false) {
  RunConfig config;
  config.run.seed = 7;
  config.run.steps = 4;
  config.run.batch_size = 2;
  config.run.output_dir = folder;
  config.run.checkpoint_every = 2;
  config.optimizer.learning_rate = 0.01;
  config.document = {{"lora", lora}, {"denoising", {{"gradient_checkpointing", checkpointing}}}};
  config.source = "run.json";
  return config;
}

RunPlace alone() { return {open_process_group(), at::kCPU}; }

DenoiserBatch batch(SampleRange range) {
  DenoiserBatch batch;
  std::vector<at::Tensor> latents;
  for (std::int64_t i = 0; i < range.count; ++i) {
    latents.push_back(test::seeded_randn({2, 8, 8}, static_cast<std::uint64_t>(range.first + i)));
    batch.captions.emplace_back("a red apple");
  }
  batch.latents = at::stack(latents);
  return batch;
}

std::vector<double> losses_of(const RunConfig& config, bool resume, std::int64_t stop_at = -1) {
  DenoiserTask task(test::tiny_denoiser(), config, alone(), batch);
  std::vector<double> losses;
  LoopCallbacks callbacks;
  callbacks.report = [&](const StepReport& report) { losses.push_back(report.metrics.at("loss")); };
  callbacks.stop = [&] { return static_cast<std::int64_t>(losses.size()) == stop_at; };
  train::train(task, config, alone(), resume, callbacks);
  return losses;
}

}  // namespace

TEST_CASE("a LoRA run learns its factors only and starts from the model as it is") {
  const RunConfig config = make_config({{"rank", 2}, {"text_encoder", true}});
  Metrics metrics;
  RunConfig whole = config;
  whole.document.erase("lora");
  DenoiserTask plain(test::tiny_denoiser(), whole, alone(), batch);
  DenoiserTask task(test::tiny_denoiser(), config, alone(), batch);
  const Task::Phase phase = task.phases().at(0);
  // 2 transformer blocks in the level of 16, one in the middle, 2 attentions of 4 layers each.
  CHECK(phase.parameters.size() == 2 * (4 * 2 * 4 + 4));
  for (const NamedParameter& parameter : phase.parameters) {
    const bool down = parameter.name.ends_with(".lora_A.weight");
    CHECK((down || parameter.name.ends_with(".lora_B.weight")));
    CHECK((parameter.value.abs().max().item<double>() > 0) == down);
  }
  CHECK(task.state().size() == phase.parameters.size());
  const at::Tensor loss = task.loss(0, {0, 2}, 0, metrics);
  CHECK(at::equal(loss, plain.loss(0, {0, 2}, 0, metrics)));
  loss.backward();
  for (const NamedParameter& parameter : phase.parameters) {
    INFO(parameter.name);
    CHECK(parameter.value.grad().defined());
  }
}

TEST_CASE("a LoRA run resumes bit for bit and learns the same with gradient checkpointing") {
  const test::TempDir dir;
  const nlohmann::json lora = {{"rank", 2}, {"alpha", 4}, {"text_encoder", true}};
  RunConfig config = make_config(lora, (dir / "a").string());
  config.run.log_every = 1;
  const std::vector<double> whole = losses_of(config, false);
  REQUIRE(whole.size() == 4);
  config.run.output_dir = (dir / "b").string();
  std::vector<double> parts = losses_of(config, false, 2);
  for (const double loss : losses_of(config, true)) parts.push_back(loss);
  CHECK(parts == whole);
  RunConfig again = make_config(lora, (dir / "c").string(), true);
  again.run.log_every = 1;
  const std::vector<double> recomputed = losses_of(again, false);
  for (std::size_t i = 0; i < whole.size(); ++i) CHECK(recomputed[i] == Approx(whole[i]));
}

TEST_CASE("the exported LoRA matches the model it was learned for, with its alpha") {
  const test::TempDir dir;
  RunConfig config = make_config({{"rank", 2},
                                  {"alpha", 6},
                                  {"text_encoder", true},
                                  {"target_modules", {"to_q", "ff.net.0.proj", "conv1"}}},
                                 (dir / "run").string());
  losses_of(config, false);
  const std::filesystem::path folder = dir / "run" / "model";
  const std::filesystem::path file = folder / "pytorch_lora_weights.safetensors";
  const auto source = open_tensors(file);
  CHECK(source->find("text_encoder.text_model.encoder.layers.0.self_attn.q_proj.lora_A.weight") !=
        nullptr);
  const DenoiserModel model = test::tiny_denoiser();
  LoraMatcher matcher({{"unet", model.unet.get()}, {"text_encoder", model.text_encoder.get()}});
  const LoraRequest request{{{folder, 1.0}}, false};
  const std::vector<LoraUse> uses = matcher.match(request);
  const auto updates = matcher.updates(request);
  CHECK(uses.at(0).layers * 2 == source->size());
  const std::string name = "down_blocks.1.resnets.0.conv1";
  const WeightUpdate& update = updates.at("unet").at(name + ".weight").front();
  CHECK(update.factor == 3.0);
  const TensorMap learned = read_tensors(file);
  CHECK(learned.at(cat("unet.", name, ".lora_A.weight")).sizes() == at::IntArrayRef({2, 8, 3, 3}));
}

TEST_CASE("a LoRA section that cannot be is refused") {
  const auto refused = [](const nlohmann::json& lora, bool train_text = false) {
    DenoiserModel model = test::tiny_denoiser();
    model.train_text_encoder = train_text;
    try {
      DenoiserTask task(std::move(model), make_config(lora), alone(), batch);
    } catch (const Error& error) {
      return std::string(error.message());
    }
    return std::string();
  };
  CHECK_THAT(refused({{"rank", 0}}), Contains("/rank"));
  CHECK_THAT(refused({{"alpha", -1}}), Contains("/alpha"));
  CHECK_THAT(refused({{"ranks", 4}}), Contains("ranks"));
  CHECK_THAT(refused({{"target_modules", {"to_q", "to_x"}}}), Contains("to_x"));
  CHECK_THAT(refused(nlohmann::json::object(), true), Contains("train_text_encoder"));
}
