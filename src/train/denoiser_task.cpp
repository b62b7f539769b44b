#include "ldm/train/denoiser_task.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/stack.h>
#include <c10/core/GradMode.h>

#include <span>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/hash.h"
#include "ldm/loading/export_model.h"
#include "ldm/loading/model_schedule.h"
#include "ldm/train/draws.h"

namespace ldm::train {
namespace {

/// What identifies cached latents: the autoencoder's weights, the pictures and how they are read.
std::string cache_identity(const models::AutoencoderImpl& vae, const PictureReader& reader,
                           const std::string& mixed_precision) {
  Sha256 hash;
  for (const auto& item : vae.named_parameters()) {
    const at::Tensor values = item.value().detach().cpu().contiguous();
    hash.update(std::as_bytes(std::span(item.key())));
    hash.update({static_cast<const std::byte*>(values.const_data_ptr()), values.nbytes()});
  }
  const DataConfig& data = reader.data();
  return cat(hash.hex(), " ", data.path, " ", reader.dataset().size(), " ", data.size, " ",
             data.crop, " ", mixed_precision);
}

}  // namespace

void DenoisingConfig::validate(const std::string& where) const {
  const auto require = [&](bool fine, const char* field, const char* problem) {
    if (!fine) throw Error::input(cat(where, ": /", field, " ", problem));
  };
  require(min_snr_gamma >= 0, "min_snr_gamma", "is negative");
  require(condition_dropout >= 0 && condition_dropout <= 1, "condition_dropout",
          "is not in [0, 1]");
}

void SamplesConfig::validate(const std::string& where) const {
  constexpr std::int64_t kMostSteps = 1000;
  if (num_inference_steps < 1 || num_inference_steps > kMostSteps) {
    throw Error::input(cat(where, ": /num_inference_steps is not in 1 … 1000"));
  }
  if (guidance_scale < 0) throw Error::input(cat(where, ": /guidance_scale is negative"));
}

DenoiserTask::DenoiserTask(DenoiserModel model, const RunConfig& config, const RunPlace& place,
                           std::function<DenoiserBatch(SampleRange)> batches)
    : model_(std::move(model)),
      config_(read_section<DenoisingConfig>(config, "denoising")),
      lora_(read_lora(config)),
      seed_(static_cast<std::uint64_t>(config.run.seed)),
      device_(place.device),
      process_(scheduler_config(model_.files, default_sampler(model_.files))),
      batches_(std::move(batches)) {
  if (config_.condition_dropout > 0 && model_.text_encoder && !model_.tokenizer &&
      !model_.text_encoder->null_id()) {
    throw Error::input(
        cat(config.source, ": /denoising/condition_dropout: these classes have none ",
            "that stands for no class"),
        "set it to 0, or train 1001 classes, the last of them for no class");
  }
  if (lora_) add_lora(model_, *lora_, config);
  model_.unet->to(device_);
  model_.unet->gradient_checkpointing = config_.gradient_checkpointing;
  if (model_.text_encoder) model_.text_encoder->to(device_);
}

std::vector<Task::Phase> DenoiserTask::phases() {
  Phase phase{"denoiser", trained_parameters(*model_.unet, "unet."), 1.0};
  if (model_.text_encoder) {
    for (NamedParameter& parameter : trained_parameters(*model_.text_encoder, "text_encoder.")) {
      phase.parameters.push_back(std::move(parameter));
    }
  }
  return {phase};
}

at::Tensor DenoiserTask::condition_ids(const DenoiserBatch& batch, SampleRange samples) const {
  std::vector<at::Tensor> rows;
  for (std::int64_t i = 0; i < samples.count; ++i) {
    const auto index = static_cast<std::size_t>(i);
    const auto number = static_cast<std::uint64_t>(samples.first + i);
    const bool dropped =
        at::rand({}, draw_for(seed_, "dropout", number)).item<double>() < config_.condition_dropout;
    std::vector<std::int64_t> ids;
    if (model_.tokenizer) {
      ids = model_.tokenizer->encode(dropped ? std::string() : batch.captions.at(index)).ids;
    } else {
      ids = {dropped ? model_.text_encoder->null_id().value() : batch.class_labels.at(index)};
    }
    at::Tensor row = at::empty({static_cast<std::int64_t>(ids.size())}, at::kLong);
    std::copy(ids.begin(), ids.end(), row.mutable_data_ptr<std::int64_t>());
    rows.push_back(std::move(row));
  }
  return at::stack(rows);
}

at::Tensor DenoiserTask::loss(std::size_t /*phase*/, SampleRange samples, std::int64_t /*step*/,
                              Metrics& metrics) {
  DenoiserBatch batch = batches_(samples);
  batch.latents = batch.latents.to(device_);
  const at::Tensor noise =
      noise_for(seed_, "noise", samples.first, samples.count, batch.latents.sizes().slice(1))
          .to(device_);
  std::vector<at::Tensor> times;
  for (std::int64_t i = 0; i < samples.count; ++i) {
    const auto number = static_cast<std::uint64_t>(samples.first + i);
    times.push_back(at::randint(process_.num_train_timesteps(), {},
                                draw_for(seed_, "timestep", number), at::kLong));
  }
  const at::Tensor timesteps = at::stack(times).to(device_);
  at::Tensor context;
  if (model_.text_encoder) {
    const c10::AutoGradMode learns(text_encoder_learns());
    context = model_.text_encoder->encode(condition_ids(batch, samples).to(device_),
                                          /*clip_skip=*/0);
  }
  const at::Tensor noisy = process_.add_noise(batch.latents, noise, timesteps);
  const at::Tensor prediction = model_.unet->denoise(noisy, timesteps, context, {});
  const at::Tensor loss =
      denoising_loss(prediction, process_.target(batch.latents, noise, timesteps),
                     process_.weights(timesteps, config_.min_snr_gamma));
  metrics.add("loss", loss.item<double>(), samples.count);
  return loss;
}

bool DenoiserTask::text_encoder_learns() const {
  return lora_ ? lora_->text_encoder : model_.train_text_encoder;
}

TensorMap DenoiserTask::state() const {
  if (lora_) return lora_tensors(model_);
  TensorMap state = named_tensors(*model_.unet, "unet.");
  if (model_.text_encoder && model_.train_text_encoder) {
    state.merge(named_tensors(*model_.text_encoder, "text_encoder."));
  }
  return state;
}

ModelFiles DenoiserTask::model_files() const {
  ModelFiles files = model_.files;
  const auto replace = [&](const char* name, const torch::nn::Module& module) {
    files.component(name).weights = std::make_shared<TensorMapSource>(
        lora_ ? merged_tensors(module, *lora_) : named_tensors(module));
  };
  // What did not learn stays as its file has it, unless the run made it itself.
  const auto made_here = [&](const char* name) { return !files.component(name).weights; };
  replace("unet", *model_.unet);
  if (made_here("vae")) replace("vae", *model_.vae);
  if (model_.text_encoder && (text_encoder_learns() || made_here("text_encoder"))) {
    replace("text_encoder", *model_.text_encoder);
  }
  return files;
}

void DenoiserTask::export_model(const std::filesystem::path& folder) {
  if (lora_) return write_lora(model_, *lora_, folder);
  ExportOptions options;
  options.overwrite = true;
  export_folder(model_files(), folder, options);
}

LatentReader::LatentReader(const RunConfig& config, const DenoiserModel& model,
                           const RunPlace& place,
                           const std::function<void(std::int64_t, std::int64_t)>& progress)
    : vae_(model.vae),
      shape_(model.vae->shape()),
      seed_(static_cast<std::uint64_t>(config.run.seed)),
      device_(place.device),
      reader_(config, {.captions = model.tokenizer != nullptr,
                       .class_labels = model.text_encoder != nullptr && !model.tokenizer}) {
  vae_->to(device_);
  const auto denoising = read_section<DenoisingConfig>(config, "denoising");
  if (!denoising.cache_latents) return;
  LatentCache::Options options;
  options.folder = denoising.cache_folder.empty()
                       ? std::filesystem::path(config.run.output_dir) / "latents"
                       : std::filesystem::path(denoising.cache_folder);
  options.pictures = {reader_.data().size, parse_crop(reader_.data().crop), reader_.data().flip};
  options.mixed_precision = config.run.mixed_precision;
  options.identity = cache_identity(*vae_, reader_, options.mixed_precision);
  cache_ = std::make_unique<LatentCache>(reader_.dataset(), *vae_, options, *place.group, progress);
}

at::Tensor LatentReader::posterior_noise(SampleRange range, at::IntArrayRef shape) const {
  return noise_for(seed_, "posterior", range.first, range.count, shape);
}

DenoiserBatch LatentReader::batch(SampleRange range) {
  const c10::AutoGradMode no_grad(false);
  DenoiserBatch batch;
  if (!cache_) {
    Batch read = reader_.batch(range);
    const nn::DiagonalGaussian posterior = vae_->encode(read.pictures.to(device_));
    const at::Tensor noise = posterior_noise(range, posterior.mean.sizes().slice(1));
    batch.latents = posterior.sample(noise.to(device_)) * shape_.scaling_factor;
    batch.captions = std::move(read.captions);
    batch.class_labels = std::move(read.class_labels);
    return batch;
  }
  const at::Tensor noise = posterior_noise(range, cache_->shape());
  std::vector<at::Tensor> latents;
  for (std::int64_t i = 0; i < range.count; ++i) {
    const std::int64_t index = reader_.order().index_at(range.first + i);
    latents.push_back(cache_->sample(index, noise[i]));
    const Example example = reader_.dataset().describe(index);
    batch.captions.push_back(example.caption);
    batch.class_labels.push_back(example.class_label.value_or(0));
  }
  batch.latents = at::stack(latents) * shape_.scaling_factor;
  return batch;
}

}  // namespace ldm::train
