#include "ldm/train/autoencoder_task.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/l1_loss.h>
#include <ATen/ops/mse_loss.h>
#include <c10/core/GradMode.h>

#include <map>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/file.h"
#include "ldm/io/safetensors_writer.h"
#include "ldm/loading/lpips_files.h"
#include "ldm/models/autoencoder_kl.h"
#include "ldm/models/lpips.h"
#include "ldm/models/vq_model.h"
#include "ldm/train/draws.h"
#include "ldm/train/process_group.h"

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

void PerceptualConfig::validate(const std::string& where) const {
  if (weight < 0) throw Error::input(cat(where, ": /weight is negative"));
  try {
    models::parse_perceptual_net(net);
  } catch (Error& error) {
    throw error.with_code(ErrorCode::kInput).with_context(where);
  }
}

void DiscriminatorConfig::validate(const std::string& where) const {
  if (!(learning_rate_factor > 0)) {
    throw Error::input(cat(where, ": /learning_rate_factor is not positive"));
  }
  try {
    loss.validate();
    network.validate();
  } catch (Error& error) {
    throw error.with_code(ErrorCode::kInput).with_context(where);
  }
}

namespace {

/// The distance that a run's "perceptual" section names; null without one.
models::LPIPS open_perceptual(const RunConfig& config, const PerceptualConfig& section,
                              at::Device device) {
  if (!config.document.contains("perceptual") || section.weight == 0) return nullptr;
  LpipsFiles files;
  files.net = models::parse_perceptual_net(section.net);
  files.lin = section.lin;
  files.backbone = section.backbone;
  files.weights = section.weights;
  Execution execution;
  execution.device = device;
  return load_lpips(files, execution);
}

models::NLayerDiscriminator make_discriminator(const RunConfig& config,
                                               const DiscriminatorConfig& section,
                                               at::Device device) {
  if (!config.document.contains("discriminator")) return nullptr;
  models::NLayerDiscriminator discriminator(section.network);
  models::initialize_discriminator(*discriminator, static_cast<std::uint64_t>(config.run.seed));
  discriminator->to(device);
  return discriminator;
}

/// What decides the latents wants no gradient from here on.
void freeze_encoder(torch::nn::Module& autoencoder) {
  for (const auto& item : autoencoder.named_parameters()) {
    const std::string& key = item.key();
    if (key.starts_with("encoder.") || key.starts_with("quant_conv."))
      at::Tensor(item.value()).requires_grad_(false);
  }
}

}  // namespace

struct AutoencoderTask::Parts {
  ComponentFiles description;
  std::shared_ptr<models::AutoencoderImpl> model;
  std::uint64_t seed = 0;
  AutoencoderLossConfig loss;
  bool frozen_encoder = false;
  PictureSource pictures;
  RunPlace place;
  std::unique_ptr<CodebookTraining> codebook;
  PerceptualConfig perceptual_section;
  models::LPIPS perceptual{nullptr};
  DiscriminatorConfig discriminator_section;
  models::NLayerDiscriminator discriminator{nullptr};
  /// What the autoencoder's phase made of each micro batch, for the discriminator's.
  struct Made {
    at::Tensor real, fake;
  };
  std::map<std::int64_t, Made> made;

  /// The decoder's last convolution: what the adaptive weight compares gradients at.
  at::Tensor last_layer() const {
    if (auto* vq = dynamic_cast<models::VQModelImpl*>(model.get())) {
      return vq->decoder->conv_out->weight;
    }
    return dynamic_cast<models::AutoencoderKLImpl&>(*model).decoder->conv_out->weight;
  }

  /// Mean over the ranks, for gradients that are compared before they are averaged.
  AverageTensor average() const {
    if (place.group->size() == 1) return {};
    return [group = place.group](at::Tensor& tensor) {
      group->all_reduce_sum(tensor)->wait();
      tensor.div_(group->size());
    };
  }

  /// The noise of each sample's posterior, [B, C, h, w].
  at::Tensor noise(SampleRange samples, const at::Tensor& like) const {
    return noise_for(seed, "posterior", samples.first, samples.count, like.sizes().slice(1))
        .to(like.device());
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
                                 const RunConfig& config, const RunPlace& place,
                                 PictureSource pictures, bool fine_tune)
    : parts_(std::make_unique<Parts>()) {
  parts_->description = description;
  parts_->model = std::move(model);
  parts_->seed = static_cast<std::uint64_t>(config.run.seed);
  parts_->loss = read_section<AutoencoderLossConfig>(config, "loss");
  parts_->pictures = std::move(pictures);
  parts_->place = place;
  parts_->model->to(place.device);
  parts_->perceptual_section = read_section<PerceptualConfig>(config, "perceptual");
  parts_->perceptual = open_perceptual(config, parts_->perceptual_section, place.device);
  parts_->discriminator_section = read_section<DiscriminatorConfig>(config, "discriminator");
  parts_->discriminator = make_discriminator(config, parts_->discriminator_section, place.device);
  auto* vq = dynamic_cast<models::VQModelImpl*>(parts_->model.get());
  parts_->frozen_encoder = config.start.freeze_encoder;
  if (parts_->frozen_encoder) {
    if (vq != nullptr) {
      throw Error::input(cat(config.source,
                             ": /start: freeze_encoder: not for a VQModel, whose "
                             "codes move with its codebook"));
    }
    freeze_encoder(*parts_->model);
  }
  if (vq != nullptr) {
    parts_->codebook = std::make_unique<CodebookTraining>(
        vq->quantize, read_section<CodebookConfig>(config, "codebook"), parts_->seed, place.group,
        fine_tune);
  } else if (dynamic_cast<models::AutoencoderKLImpl*>(parts_->model.get()) == nullptr) {
    throw Error::input(cat(config.source, ": /model: cannot train a ", description.class_name),
                       "known: AutoencoderKL, VQModel");
  }
}

AutoencoderTask::~AutoencoderTask() = default;

std::vector<Task::Phase> AutoencoderTask::phases() {
  Phase phase;
  phase.name = "autoencoder";
  phase.parameters = trained_parameters(*parts_->model);
  if (parts_->codebook && !parts_->codebook->learned_by_gradient()) {
    std::erase_if(phase.parameters, [](const NamedParameter& parameter) {
      return parameter.name == "quantize.embedding.weight";
    });
  }
  if (!parts_->discriminator) return {phase};
  return {phase,
          {"discriminator", trained_parameters(*parts_->discriminator, "discriminator."),
           parts_->discriminator_section.learning_rate_factor}};
}

bool AutoencoderTask::active(std::size_t phase, std::int64_t step) const {
  return phase == 0 || parts_->discriminator_section.loss.active(step);
}

at::Tensor AutoencoderTask::loss(std::size_t phase, SampleRange samples, std::int64_t step,
                                 Metrics& metrics) {
  return phase == 0 ? autoencoder_loss(samples, step, metrics)
                    : discriminator_loss(samples, step, metrics);
}

at::Tensor AutoencoderTask::autoencoder_loss(SampleRange samples, std::int64_t step,
                                             Metrics& metrics) {
  Parts& parts = *parts_;
  const at::Tensor x = parts.pictures(samples).to(parts.place.device);
  const Reconstruction made = parts.reconstruct(samples, x, metrics);
  const at::Tensor picture = made.picture.to(at::kFloat);
  const at::Tensor l2 = at::mse_loss(picture, x);
  at::Tensor likelihood = parts.loss.l1_weight * at::l1_loss(picture, x);
  if (parts.loss.l2_weight > 0) likelihood = likelihood + parts.loss.l2_weight * l2;
  if (parts.perceptual) {
    const at::Tensor distance = parts.perceptual->forward(picture, x).to(at::kFloat).mean();
    metrics.add("lpips", distance.item<double>(), samples.count);
    likelihood = likelihood + parts.perceptual_section.weight * distance;
  }
  at::Tensor loss = likelihood + made.regularisation;
  if (parts.discriminator && active(1, step)) {
    const GeneratorTerm term =
        generator_term(parts.discriminator_section.loss, parts.discriminator, picture, likelihood,
                       parts.last_layer(), step, parts.average());
    metrics.add("generator", term.g_loss.item<double>(), samples.count);
    metrics.add("adaptive_weight", term.adaptive.item<double>(), samples.count);
    loss = loss + term.loss;
    parts.made[samples.first] = {x, picture.detach()};
  }
  metrics.add("mse", l2.item<double>(), samples.count);
  metrics.add("loss", loss.item<double>(), samples.count);
  return loss;
}

at::Tensor AutoencoderTask::discriminator_loss(SampleRange samples, std::int64_t step,
                                               Metrics& metrics) {
  const Parts::Made made = parts_->made.at(samples.first);
  const DiscriminatorTerm term = discriminator_term(
      parts_->discriminator_section.loss, parts_->discriminator, made.real, made.fake, step);
  metrics.add("logits_real", term.logits_real.item<double>(), samples.count);
  metrics.add("logits_fake", term.logits_fake.item<double>(), samples.count);
  metrics.add("discriminator", term.loss.item<double>(), samples.count);
  return term.loss;
}

void AutoencoderTask::after_step(std::int64_t step, Metrics& metrics) {
  parts_->made.clear();
  if (parts_->codebook) parts_->codebook->after_step(step, metrics);
}

TensorMap AutoencoderTask::state() const {
  TensorMap state = named_tensors(*parts_->model, "model.");
  if (parts_->codebook) state.merge(parts_->codebook->state("codebook."));
  if (parts_->discriminator) {
    state.merge(named_tensors(*parts_->discriminator, "discriminator."));
  }
  return state;
}

at::Tensor AutoencoderTask::reconstruct(const at::Tensor& x) const {
  const c10::AutoGradMode no_grad(false);
  return parts_->model->decode(parts_->model->encode(x.to(parts_->place.device)).mode()).cpu();
}

double AutoencoderTask::measure_scaling_factor() const {
  const c10::AutoGradMode no_grad(false);
  std::vector<at::Tensor> latents;
  for (std::int64_t first = 0; first < kScaleSamples; first += kScaleBatch) {
    const nn::DiagonalGaussian posterior =
        parts_->model->encode(parts_->pictures({first, kScaleBatch}).to(parts_->place.device));
    latents.push_back(posterior.sample(
        posterior.is_point() ? at::Tensor() : parts_->noise({first, kScaleBatch}, posterior.mean)));
  }
  return 1.0 / at::cat(latents).to(at::kFloat).std().item<double>();
}

void AutoencoderTask::export_model(const std::filesystem::path& folder) {
  nlohmann::json config = parts_->description.config;
  config["_class_name"] = parts_->description.class_name;
  // Latents that do not change keep the scale that denoisers know them by.
  if (!parts_->frozen_encoder) config["scaling_factor"] = measure_scaling_factor();
  write_file_atomic(folder / "config.json", std::string_view(config.dump(2) + "\n"),
                    IfExists::kReplace);
  TensorWriteOptions options;
  options.if_exists = IfExists::kReplace;
  write_tensors(TensorMapSource(named_tensors(*parts_->model)), folder, "diffusion_pytorch_model",
                options);
}

}  // namespace ldm::train
