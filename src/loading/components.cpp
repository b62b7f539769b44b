#include "ldm/loading/components.h"

#include <algorithm>

#include "ldm/core/device.h"
#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/loading/config_fields.h"

namespace ldm {
namespace {

std::string config_path(const ComponentFiles& files) { return files.name + "/config.json"; }

template <typename Config>
Config component_config(const ModelFolder& folder, const std::string& name) {
  const ComponentFiles& files = folder.component(name);
  return read_config<Config>(files.config, (folder.path / config_path(files)).string());
}

std::int64_t stored_parameters(const ComponentFiles& files) {
  std::int64_t count = 0;
  for (const std::string& name : files.weights.names()) {
    std::int64_t elements = 1;
    for (const std::int64_t dim : files.weights.find(name)->shape) elements *= dim;
    count += elements;
  }
  return count;
}

/// The text encoder stays in fp32 on a CPU: it is small work, and everything depends on it.
Execution text_execution(const Execution& execution) {
  return execution.device.is_cpu() ? execution.with_dtype(c10::ScalarType::Float) : execution;
}

void check_fit_together(const Components& c) {
  const auto& unet = c.unet.bare()->config;
  const auto& text = c.text_encoder.bare()->config;
  const auto& vae = c.vae.bare()->config;
  std::vector<std::string> faults;
  for (const std::int64_t context : unet.cross_attention_dim.values) {
    if (context == text.hidden_size) continue;
    faults.push_back(cat("the UNet's cross_attention_dim is ", context,
                         ", the text encoder's hidden_size ", text.hidden_size));
    break;
  }
  if (unet.out_channels != vae.latent_channels) {
    faults.push_back(cat("the UNet makes ", unet.out_channels,
                         " latent channels, the autoencoder has ", vae.latent_channels));
  }
  if (static_cast<std::int64_t>(c.tokenizer.max_length()) > text.max_position_embeddings) {
    faults.push_back(cat("the tokenizer gives ", c.tokenizer.max_length(),
                         " tokens, the text encoder has ", text.max_position_embeddings,
                         " positions"));
  }
  if (!faults.empty()) throw Error::model(cat(c.folder.path.string(), ": ", join(faults, "; ")));
}

void check_complete(const Components& c) {
  std::vector<std::string> problems;
  const std::array<const LazyModule*, 3> modules = {&c.text_encoder, &c.unet, &c.vae};
  for (const LazyModule* module : modules) {
    std::string text = module->binding().problems(module->name());
    if (!text.empty()) problems.push_back(std::move(text));
  }
  if (problems.empty()) return;
  throw Error::model(
      cat(c.folder.path.string(), ": weights do not fit the configs: ", join(problems, "; ")),
      cat("compare with: ldm-gen inspect ", c.folder.path.string()));
}

}  // namespace

Components::Components(ModelFolder model_folder, const ExecutionRequest& request,
                       const LoadObserver& on_load)
    : folder(std::move(model_folder)),
      execution(resolve_execution(request, stored_parameters(folder.component("unet")))),
      tokenizer(CLIPTokenizer::from_folder(folder.tokenizer)),
      text_encoder(
          models::CLIPTextModel(component_config<models::CLIPTextConfig>(folder, "text_encoder")),
          folder.component("text_encoder"), text_execution(execution), on_load),
      unet(models::UNet2DConditionModel(
               component_config<models::UNet2DConditionConfig>(folder, "unet")),
           folder.component("unet"), execution, on_load),
      vae(models::AutoencoderKL(component_config<models::AutoencoderKLConfig>(folder, "vae")),
          folder.component("vae"), execution, on_load) {
  check_complete(*this);
  check_fit_together(*this);
}

const SamplerEntry& Components::default_sampler() const {
  const auto name = folder.scheduler_config.find("_class_name");
  if (name == folder.scheduler_config.end() || !name->is_string()) {
    throw Error::model(
        cat((folder.path / "scheduler/scheduler_config.json").string(), ": no _class_name"),
        "choose a sampler with --sampler");
  }
  return find_sampler_by_class(name->get<std::string>());
}

SchedulerConfig Components::scheduler_config(const SamplerEntry& sampler) const {
  SchedulerConfig config = sampler.defaults();
  // A file made for another class has fields that this one does not know: not worth a warning.
  read_fields(folder.scheduler_config, config,
              (folder.path / "scheduler/scheduler_config.json").string());
  return config;
}

std::shared_ptr<Components> open_components(ModelFolder folder, const ExecutionRequest& execution,
                                            LoadObserver on_load) {
  set_allocator_mode(AllocatorMode::kWeights);
  return std::make_shared<Components>(std::move(folder), execution, on_load);
}

ExecutionSummary execution_summary(const Components& components) {
  return summarize(components.execution);
}

std::map<std::string, std::string> weight_hashes(const Components& components) {
  std::map<std::string, std::string> hashes;
  const std::array<const LazyModule*, 3> modules = {&components.text_encoder, &components.unet,
                                                    &components.vae};
  for (const LazyModule* module : modules) {
    if (!module->sha256().empty()) hashes.emplace(module->name(), module->sha256());
  }
  return hashes;
}

PeakMemory peak_memory() {
  PeakMemory peak;
  peak.rss_bytes = peak_rss_bytes();
  if (const LdmCudaApi* cuda = loaded_cuda()) {
    peak.cuda_bytes = static_cast<double>(cuda->peak_allocated(0));
  }
  return peak;
}

}  // namespace ldm
