#include "ldm/loading/components.h"

#include <ATen/ops/cat.h>

#include <algorithm>

#include "ldm/core/device.h"
#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/loading/component_factory.h"
#include "ldm/loading/config_fields.h"
#include "ldm/loading/embedding_file.h"
#include "ldm/loading/lora.h"

namespace ldm {
namespace {

/// The text encoder stays in fp32 on a CPU: it is small work, and everything depends on it.
Execution text_execution(const Execution& execution) {
  return execution.device.is_cpu() ? execution.with_dtype(c10::ScalarType::Float) : execution;
}

/// What a model's public pipeline sets on its tokenizer whatever the tokenizer's files say.
TokenizerOptions tokenizer_options(const nlohmann::json& model_index) {
  const auto name = model_index.find("_class_name");
  TokenizerOptions options;
  if (name != model_index.end() && *name == "JapaneseStableDiffusionPipeline") {
    options.do_lower_case = true;
  }
  return options;
}

void check_text_fits(const Components& c, std::vector<std::string>& faults) {
  const std::int64_t context = c.unet.bare().shape().context_dim;
  if (!c.text_encoder) {
    if (context != 0) {
      faults.push_back(
          cat("the UNet attends to a text ", context, " wide, and there is no text encoder"));
    }
    return;
  }
  const models::TextEncoderImpl& text = c.text_encoder->bare();
  if (context != text.hidden_size()) {
    faults.push_back(cat("the UNet's cross_attention_dim is ", context,
                         ", the text encoder's hidden_size ", text.hidden_size()));
  }
  if (c.tokenizer && static_cast<std::int64_t>(c.tokenizer->max_length()) > text.max_positions()) {
    faults.push_back(cat("the tokenizer gives ", c.tokenizer->max_length(),
                         " tokens, the text encoder has ", text.max_positions(), " positions"));
  }
}

void check_fit_together(const Components& c) {
  std::vector<std::string> faults;
  check_text_fits(c, faults);
  const std::int64_t made = c.unet.bare().shape().out_channels;
  const std::int64_t read = c.vae.bare().shape().latent_channels;
  if (made != read) {
    faults.push_back(cat("the UNet makes ", made, " latent channels, the autoencoder has ", read));
  }
  if (!faults.empty()) throw Error::model(cat(c.files.path.string(), ": ", join(faults, "; ")));
}

void check_complete(const Components& c) {
  std::vector<const LazyModule*> modules = {&c.unet, &c.vae};
  if (c.text_encoder) modules.insert(modules.begin(), &*c.text_encoder);
  std::vector<std::string> problems;
  for (const LazyModule* module : modules) {
    std::string text = module->binding().problems(module->name());
    if (!text.empty()) problems.push_back(std::move(text));
  }
  if (problems.empty()) return;
  throw Error::model(
      cat(c.files.path.string(), ": weights do not fit the configs: ", join(problems, "; ")),
      cat("compare with: ldm-gen inspect ", c.files.path.string()));
}

std::vector<LearnedWord> learned_words(const std::vector<EmbeddingUse>& uses,
                                       std::int64_t first_id) {
  std::vector<LearnedWord> words;
  for (const EmbeddingUse& use : uses) add_learned_word(words, use.word, use.vectors, first_id);
  return words;
}

}  // namespace

Components::Components(ModelFiles model_files, const ExecutionRequest& request,
                       LoadContext load_context)
    : files(std::move(model_files)),
      execution(resolve_execution(request, stored_parameters(files.component("unet")))),
      loading(std::move(load_context)),
      unet(make_denoiser(files.component("unet")), files.component("unet"), execution, loading),
      vae(make_autoencoder(files.component("vae")), files.component("vae"), execution, loading) {
  if (const ComponentFiles* text = files.find("text_encoder")) {
    text_encoder.emplace(make_text_encoder(*text), *text, text_execution(execution), loading);
  }
  if (!files.tokenizer.empty()) {
    tokenizer = open_tokenizer(files.tokenizer, tokenizer_options(files.model_index));
    prompts = std::make_shared<PromptReader>(tokenizer, std::vector<LearnedWord>());
  }
  LoraModules modules = {{"unet", &unet.module()}};
  if (text_encoder) modules.emplace("text_encoder", &text_encoder->module());
  lora_matcher_ = std::make_shared<LoraMatcher>(modules);
  check_complete(*this);
  check_fit_together(*this);
}

SchedulerConfig Components::low_res_schedule() const {
  SchedulerConfig config = find_sampler("ddpm").defaults();
  if (files.low_res_scheduler_config.is_object()) {
    read_fields(files.low_res_scheduler_config, config, "low_res_scheduler/scheduler_config.json");
  }
  return config;
}

std::vector<LoraUse> Components::match(const LoraRequest& request) const {
  return request.files.empty() ? std::vector<LoraUse>() : lora_matcher_->match(request);
}

bool Components::merge(const LoraRequest& request) {
  if (request == merged_) return false;
  std::map<std::string, WeightUpdates> updates = lora_matcher_->updates(request);
  merged_ = request;
  unet.release();
  unet.update(std::move(updates["unet"]));
  if (!text_encoder) return true;
  text_encoder->release();
  text_encoder->update(std::move(updates["text_encoder"]));
  return true;
}

void Components::learn(const std::vector<EmbeddingChoice>& choices) {
  if (choices.empty()) return;
  if (!tokenizer) throw Error::usage("--embedding: this model takes no prompt");
  const std::int64_t known = std::max(text_encoder->bare().vocabulary(), tokenizer->vocab_size());
  if (known != text_encoder->bare().vocabulary()) {
    throw Error::model(cat(files.path.string(), ": the tokenizer knows ", known,
                           " ids, the text encoder ", text_encoder->bare().vocabulary()));
  }
  std::vector<at::Tensor> vectors;
  for (const EmbeddingChoice& choice : choices) {
    LearnedEmbedding learned = read_embedding(choice, tokenizer->capacity());
    try {
      text_encoder->learn(learned.vectors);
    } catch (Error& error) {
      throw error.with_context(choice.file.string());
    }
    vectors.push_back(std::move(learned.vectors));
    embeddings.push_back(std::move(learned.use));
  }
  text_encoder->learn(at::cat(vectors));
  prompts = std::make_shared<PromptReader>(tokenizer, learned_words(embeddings, known));
}

void Components::release_controlnets() {
  for (const auto& part : controlnets) part->net.release();
}

std::shared_ptr<Components> open_components(ModelFiles files, const ExecutionRequest& execution,
                                            LoadObserver on_load,
                                            const std::vector<EmbeddingChoice>& embeddings) {
  set_allocator_mode(AllocatorMode::kWeights);
  LoadContext loading;
  loading.on_load = std::move(on_load);
  if (execution.weight_cache) loading.packed = PackedCache::of_user();
  auto components = std::make_shared<Components>(std::move(files), execution, std::move(loading));
  components->learn(embeddings);
  return components;
}

std::vector<EmbeddingUse> embeddings_in_use(const Components& components) {
  return components.embeddings;
}

ExecutionSummary execution_summary(const Components& components) {
  return summarize(components.execution);
}

std::map<std::string, std::string> weight_hashes(const Components& components) {
  std::map<std::string, std::string> hashes;
  std::vector<const LazyModule*> modules = {&components.unet, &components.vae};
  if (components.text_encoder) modules.push_back(&*components.text_encoder);
  for (const auto& part : components.controlnets) modules.push_back(&part->net);
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
