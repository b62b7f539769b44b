#include "ldm/train/start_model.h"

#include <ATen/TensorOperators.h>

#include <cmath>
#include <vector>

#include "ldm/core/error.h"
#include "ldm/models/autoencoder_kl.h"
#include "ldm/train/autoencoder_task.h"
#include "ldm/train/denoiser_model.h"
#include "ldm/train/process_group.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"

using namespace ldm;
using namespace ldm::train;

namespace {

RunConfig run_config(const StartConfig& start) {
  RunConfig config;
  config.start = start;
  config.source = "run.json";
  config.document = {{"loss", nlohmann::json::object()},
                     {"model",
                      {{"_class_name", "AutoencoderKL"},
                       {"block_out_channels", {8, 8}},
                       {"down_block_types", {"DownEncoderBlock2D", "DownEncoderBlock2D"}},
                       {"up_block_types", {"UpDecoderBlock2D", "UpDecoderBlock2D"}},
                       {"layers_per_block", 1},
                       {"norm_num_groups", 4},
                       {"latent_channels", 2}}}};
  return config;
}

at::Tensor pictures(SampleRange range) {
  return 0.5 *
         test::seeded_randn({range.count, 3, 16, 16}, static_cast<std::uint64_t>(range.first));
}

bool is_zero(const at::Tensor& tensor) { return tensor.eq(0).all().item<bool>(); }

}  // namespace

TEST_CASE("residual branches begin at zero where the run says so") {
  const bool zero = GENERATE(true, false);
  const StartModel start = start_autoencoder(run_config({.zero_residuals = zero}));
  int branches = 0;
  for (const auto& item : start.autoencoder->named_parameters()) {
    if (item.key().find(".conv2.weight") == std::string::npos) {
      if (item.value().dim() > 1) CHECK(!is_zero(item.value()));
      continue;
    }
    ++branches;
    INFO(item.key());
    CHECK(is_zero(item.value()) == zero);
    CHECK(item.value().requires_grad());
  }
  CHECK(branches > 4);
}

TEST_CASE("a posterior begins with the log variance that the run says") {
  const StartModel start = start_autoencoder(run_config({.posterior_log_variance = -4.0}));
  const auto posterior = start.autoencoder->encode(pictures({0, 2}));
  CHECK(posterior.std.detach().sub(std::exp(-2.0)).abs().max().item<double>() < 1e-6);
  CHECK(posterior.mean.detach().std().item<double>() > 0);
}

TEST_CASE("a frozen encoder learns nothing, its decoder does") {
  const RunConfig config = run_config({.freeze_encoder = true});
  const StartModel start = start_autoencoder(config);
  AutoencoderTask task(start.description, start.autoencoder, config,
                       {open_process_group(), at::kCPU}, pictures, false);
  const std::vector<Task::Phase> phases = task.phases();
  for (const NamedParameter& parameter : phases.at(0).parameters) {
    INFO(parameter.name);
    CHECK(
        (parameter.name.starts_with("decoder.") || parameter.name.starts_with("post_quant_conv.")));
  }
  Metrics metrics;
  task.loss(0, {0, 2}, 0, metrics).backward();
  for (const auto& item : start.autoencoder->named_parameters()) {
    const bool decoder = item.key().find("encoder.") != 0 && item.key().find("quant_conv.") != 0;
    INFO(item.key());
    CHECK(item.value().grad().defined() == decoder);
  }
  CHECK(metrics.means().count("kl") == 1);
}

TEST_CASE("a denoiser's run cannot freeze an encoder") {
  CHECK_THROWS_AS(start_denoiser(run_config({.freeze_encoder = true})), Error);
}
