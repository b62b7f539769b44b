#include <ATen/TensorOperators.h>
#include <ATen/ops/stack.h>

#include <array>
#include <map>

#include "ldm/models/autoencoder_kl.h"
#include "ldm/models/vq_model.h"
#include "ldm/train/adamw.h"
#include "ldm/train/autoencoder_task.h"
#include "ldm/train/denoiser_task.h"
#include "ldm/train/ema.h"
#include "ldm/train/gradients.h"
#include "ldm/train/learning_rate.h"
#include "ldm/train/process_group.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tensors.h"
#include "tests/train/tiny_denoiser.h"

// Ten steps of each trainer against plain PyTorch over diffusers' networks
// (scripts/goldens/training.py).

using namespace ldm;
using namespace ldm::train;

namespace {

constexpr std::int64_t kSteps = 10, kBatch = 3;
// Gradients are sums over many positions, added in an order that depends on the threads.
constexpr double kGradients = 5e-5, kCurve = 1e-5, kWeights = 1e-4;

RunConfig make_config(const nlohmann::json& sections) {
  RunConfig config;
  config.run.seed = 7;
  config.run.steps = kSteps;
  config.run.batch_size = kBatch;
  config.optimizer = {.learning_rate = 2e-3, .beta1 = 0.9, .beta2 = 0.99, .weight_decay = 0.01};
  config.schedule = {.kind = "cosine", .warmup_steps = 2, .final_factor = 0.1};
  config.document = sections;
  config.source = "golden.json";
  return config;
}

RunPlace alone() { return {open_process_group(), at::kCPU}; }

std::vector<at::Tensor> in_order(const TensorMap& tensors) {
  std::vector<at::Tensor> values;
  for (const auto& [name, value] : tensors) {
    // A key's bias shifts all scores alike: its gradient is zero, and Adam turns its rounding into
    // whole steps.
    if (!name.ends_with("k_proj.bias") && !name.ends_with("to_k.bias")) values.push_back(value);
  }
  return values;
}

/// The loop's arithmetic on a task's only phase, step by step.
void expect_run(Task& task, const RunConfig& config, const std::string& name) {
  const test::Golden golden("training");
  const Task::Phase phase = task.phases().at(0);
  AdamW optimizer(phase.parameters, config.optimizer);
  Ema ema(phase.parameters, 0.9);
  TensorMap by_name;
  std::vector<at::Tensor> values, losses;
  for (const NamedParameter& parameter : phase.parameters) {
    by_name[parameter.name] = parameter.value;
    values.push_back(parameter.value);
  }
  for (std::int64_t step = 0; step < kSteps; ++step) {
    optimizer.zero_grad();
    Metrics metrics;
    const at::Tensor loss = task.loss(0, {step * kBatch, kBatch}, step, metrics);
    loss.backward();
    task.after_step(step, metrics);
    if (step == 0) {
      std::vector<at::Tensor> gradients;
      for (const at::Tensor& value : in_order(by_name)) gradients.push_back(value.grad());
      test::expect_digests(test::digest(gradients), golden.at(name + ".gradients"), kGradients,
                           name + " gradients");
    }
    clip_gradients(values, gradient_norm(values), 1.0);
    optimizer.step(learning_rate_factor(config.schedule, step, kSteps));
    ema.update();
    losses.push_back(loss.detach());
  }
  const at::Tensor expected = golden.at(name + ".losses");
  for (std::int64_t step = 0; step < kSteps; ++step) {
    INFO(name << " step " << step);
    CHECK(losses[static_cast<std::size_t>(step)].item<double>() ==
          Approx(expected[step].item<double>()).epsilon(kCurve));
  }
  test::expect_digests(test::digest(in_order(by_name)), golden.at(name + ".weights"), kWeights,
                       name + " weights");
  test::expect_digests(test::digest(in_order(ema.averages())), golden.at(name + ".averages"),
                       kWeights, name + " averages");
}

template <typename Config>
Config coder_config() {
  Config config;
  config.block_out_channels = {8, 8};
  config.down_block_types = {"DownEncoderBlock2D", "DownEncoderBlock2D"};
  config.up_block_types = {"UpDecoderBlock2D", "UpDecoderBlock2D"};
  config.layers_per_block = 1;
  config.norm_num_groups = 4;
  config.latent_channels = 2;
  return config;
}

at::Tensor pictures(SampleRange range) {
  std::vector<at::Tensor> each;
  for (std::int64_t i = 0; i < range.count; ++i) {
    each.push_back(0.5 *
                   test::seeded_randn({3, 16, 16}, static_cast<std::uint64_t>(range.first + i)));
  }
  return at::stack(each);
}

}  // namespace

TEST_CASE("ten steps of a KL autoencoder equal PyTorch's", "[golden]") {
  const auto model =
      std::make_shared<models::AutoencoderKLImpl>(coder_config<models::AutoencoderKLConfig>());
  test::fill_by_formula(*model, 300);
  const RunConfig config = make_config({{"loss", {{"l2_weight", 0.5}, {"kl_weight", 1e-3}}}});
  AutoencoderTask task({"vae", "AutoencoderKL", {}, "", nullptr}, model, config, alone(), pictures,
                       true);
  expect_run(task, config, "kl");
}

TEST_CASE("ten steps of a quantised autoencoder equal PyTorch's", "[golden]") {
  auto vq = coder_config<models::VQModelConfig>();
  vq.num_vq_embeddings = 16;
  vq.vq_embed_dim = 2;
  const auto model = std::make_shared<models::VQModelImpl>(vq);
  test::fill_by_formula(*model, 400);
  const RunConfig config = make_config({{"loss", nlohmann::json::object()}});
  AutoencoderTask task({"vae", "VQModel", {}, "", nullptr}, model, config, alone(), pictures, true);
  expect_run(task, config, "vq");
}

TEST_CASE("ten steps of a denoiser and its text encoder equal PyTorch's", "[golden]") {
  const std::string type = GENERATE("epsilon", "v_prediction", "sample");
  DenoiserModel model = test::tiny_denoiser();
  model.files.scheduler_config["prediction_type"] = type;
  model.train_text_encoder = true;
  const RunConfig config =
      make_config({{"denoising", {{"min_snr_gamma", 5.0}, {"condition_dropout", 0.4}}}});
  const std::array<std::string, 3> captions = {"a red apple on a blue background", "two cats",
                                               "a small rocket, green background"};
  DenoiserTask task(std::move(model), config, alone(), [&](SampleRange range) {
    std::vector<at::Tensor> latents;
    DenoiserBatch batch;
    for (std::int64_t i = 0; i < range.count; ++i) {
      const std::int64_t number = range.first + i;
      latents.push_back(test::seeded_randn({2, 8, 8}, static_cast<std::uint64_t>(number)));
      batch.captions.push_back(captions[static_cast<std::size_t>(number % 3)]);
    }
    batch.latents = at::stack(latents);
    return batch;
  });
  expect_run(task, config, type);
}
