#include "ldm/train/autoencoder_task.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/l1_loss.h>
#include <ATen/ops/mse_loss.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/stack.h>
#include <c10/core/GradMode.h>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/file.h"
#include "ldm/io/safetensors_writer.h"
#include "ldm/models/autoencoder_kl.h"
#include "ldm/models/vq_model.h"
#include "ldm/train/draws.h"

namespace ldm::train {
namespace {

constexpr std::int64_t kScaleSamples = 256;
constexpr std::int64_t kScaleBatch = 16;

/// What a forward pass gives the losses.
struct Reconstruction {
  at::Tensor picture;         ///< [B, 3, H, W]
  at::Tensor regularisation;  ///< []: weighted
};

}  // namespace

void AutoencoderLossConfig::validate(const std::string& where) const {
  if (l1_weight < 0 || l2_weight < 0 || kl_weight < 0) {
    throw Error::input(cat(where, ": a weight is negative"));
  }
  if (l1_weight + l2_weight == 0) {
    throw Error::input(cat(where, ": /l1_weight and /l2_weight are both 0"));
  }
}

struct AutoencoderTask::Parts {
  ComponentFiles description;
  std::shared_ptr<models::AutoencoderImpl> model;
  std::uint64_t seed = 0;
  AutoencoderLossConfig loss;
  PictureSource pictures;
  std::unique_ptr<CodebookTraining> codebook;

  /// The noise of each sample's posterior, [B, C, h, w].
  at::Tensor noise(SampleRange samples, const at::Tensor& like) const {
    std::vector<at::Tensor> each;
    for (std::int64_t i = 0; i < samples.count; ++i) {
      const auto number = static_cast<std::uint64_t>(samples.first + i);
      each.push_back(at::randn(like.sizes().slice(1), draw_for(seed, "posterior", number)));
    }
    return at::stack(each).to(like.device());
  }

  Reconstruction reconstruct(SampleRange samples, const at::Tensor& x, Metrics& metrics) {
    if (auto* vq = dynamic_cast<models::VQModelImpl*>(model.get())) {
      const CodebookStep step = codebook->quantize(vq->encode(x).mode());
      metrics.add("codebook", step.loss.item<double>(), samples.count);
      return {vq->decoder->forward(vq->post_quant_conv->forward(step.z_q)), step.loss};
    }
    const nn::DiagonalGaussian posterior = model->encode(x);
    const at::Tensor z = posterior.sample(noise(samples, posterior.mean));
    const double pixels = static_cast<double>(x.numel()) / static_cast<double>(x.size(0));
    const at::Tensor kl = posterior.kl().to(at::kFloat).mean() / pixels;
    metrics.add("kl", kl.item<double>() * pixels, samples.count);
    return {model->decode(z), loss.kl_weight * kl};
  }
};

AutoencoderTask::AutoencoderTask(const ComponentFiles& description,
                                 std::shared_ptr<models::AutoencoderImpl> model,
                                 const RunConfig& config, PictureSource pictures, bool fine_tune)
    : parts_(std::make_unique<Parts>()) {
  parts_->description = description;
  parts_->model = std::move(model);
  parts_->seed = static_cast<std::uint64_t>(config.run.seed);
  parts_->loss = read_section<AutoencoderLossConfig>(config, "loss");
  parts_->pictures = std::move(pictures);
  if (auto* vq = dynamic_cast<models::VQModelImpl*>(parts_->model.get())) {
    parts_->codebook = std::make_unique<CodebookTraining>(
        vq->quantize, read_section<CodebookConfig>(config, "codebook"), parts_->seed, fine_tune);
  } else if (dynamic_cast<models::AutoencoderKLImpl*>(parts_->model.get()) == nullptr) {
    throw Error::input(cat(config.source, ": /model: cannot train a ", description.class_name),
                       "known: AutoencoderKL, VQModel");
  }
}

AutoencoderTask::~AutoencoderTask() = default;

std::vector<Task::Phase> AutoencoderTask::phases() {
  Phase phase;
  phase.name = "autoencoder";
  for (const auto& item : parts_->model->named_parameters()) {
    const bool averaged = parts_->codebook && !parts_->codebook->learned_by_gradient() &&
                          item.key() == "quantize.embedding.weight";
    if (!averaged) phase.parameters.push_back({item.key(), item.value()});
  }
  return {phase};
}

bool AutoencoderTask::active(std::size_t /*phase*/, std::int64_t /*step*/) const { return true; }

at::Tensor AutoencoderTask::loss(std::size_t /*phase*/, SampleRange samples, std::int64_t /*step*/,
                                 Metrics& metrics) {
  return generator_loss(samples, metrics);
}

at::Tensor AutoencoderTask::generator_loss(SampleRange samples, Metrics& metrics) {
  const at::Tensor x = parts_->pictures(samples);
  const Reconstruction made = parts_->reconstruct(samples, x, metrics);
  const at::Tensor picture = made.picture.to(at::kFloat);
  const at::Tensor l2 = at::mse_loss(picture, x);
  at::Tensor loss = made.regularisation + parts_->loss.l1_weight * at::l1_loss(picture, x);
  if (parts_->loss.l2_weight > 0) loss = loss + parts_->loss.l2_weight * l2;
  metrics.add("mse", l2.item<double>(), samples.count);
  metrics.add("loss", loss.item<double>(), samples.count);
  return loss;
}

void AutoencoderTask::after_step(std::int64_t step, Metrics& metrics) {
  if (parts_->codebook) parts_->codebook->after_step(step, metrics);
}

TensorMap AutoencoderTask::state() const {
  TensorMap state = named_tensors(*parts_->model, "model.");
  if (parts_->codebook) state.merge(parts_->codebook->state("codebook."));
  return state;
}

at::Tensor AutoencoderTask::reconstruct(const at::Tensor& x) const {
  const c10::AutoGradMode no_grad(false);
  return parts_->model->decode(parts_->model->encode(x).mode());
}

double AutoencoderTask::measure_scaling_factor() const {
  const c10::AutoGradMode no_grad(false);
  std::vector<at::Tensor> latents;
  for (std::int64_t first = 0; first < kScaleSamples; first += kScaleBatch) {
    const nn::DiagonalGaussian posterior =
        parts_->model->encode(parts_->pictures({first, kScaleBatch}));
    latents.push_back(posterior.sample(
        posterior.is_point() ? at::Tensor() : parts_->noise({first, kScaleBatch}, posterior.mean)));
  }
  return 1.0 / at::cat(latents).to(at::kFloat).std().item<double>();
}

void AutoencoderTask::export_model(const std::filesystem::path& folder) {
  nlohmann::json config = parts_->description.config;
  config["_class_name"] = parts_->description.class_name;
  config["scaling_factor"] = measure_scaling_factor();
  write_file_atomic(folder / "config.json", std::string_view(config.dump(2) + "\n"),
                    IfExists::kReplace);
  TensorWriteOptions options;
  options.if_exists = IfExists::kReplace;
  write_tensors(TensorMapSource(named_tensors(*parts_->model)), folder, "diffusion_pytorch_model",
                options);
}

}  // namespace ldm::train
