#include "ldm/loading/export_model.h"

#include <algorithm>
#include <array>
#include <system_error>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/file.h"
#include "ldm/io/key_map.h"
#include "ldm/io/safetensors_writer.h"
#include "ldm/loading/config_fields.h"

namespace ldm {
namespace fs = std::filesystem;

namespace {

using Json = nlohmann::json;

/// All names under which published tokenizers keep their data.
constexpr std::array<const char*, 11> kTokenizerFiles = {"vocab.json",
                                                         "merges.txt",
                                                         "vocab.txt",
                                                         "tokenizer_config.json",
                                                         "tokenizer.json",
                                                         "special_tokens_map.json",
                                                         "added_tokens.json",
                                                         "spiece.model",
                                                         "sentencepiece.bpe.model",
                                                         "tokenizer.model",
                                                         "spm.model"};

constexpr std::array<const char*, 6> kWrittenComponents = {
    "unet", "vae", "vqvae", "text_encoder", "bert", "class_embedder"};

/// A layer of LDMBertModel that no picture needs and every published folder and file has.
constexpr std::string_view kUnusedButPublished = "to_logits.";

class FolderWriter {
 public:
  FolderWriter(const ModelFiles& model, fs::path folder, const ExportOptions& options)
      : model_(model), folder_(std::move(folder)), options_(options) {}

  ExportReport write() {
    report_.dropped = model_.dropped;
    for (const ComponentFiles& component : model_.components) write_component(component);
    write_json(folder_ / "scheduler" / "scheduler_config.json", model_.scheduler_config);
    if (!model_.low_res_scheduler_config.is_null()) {
      write_json(folder_ / "low_res_scheduler" / "scheduler_config.json",
                 model_.low_res_scheduler_config);
    }
    copy_tokenizer();
    write_defaults();
    write_json(folder_ / "model_index.json", index());
    return std::move(report_);
  }

 private:
  IfExists if_exists() const { return options_.overwrite ? IfExists::kReplace : IfExists::kRefuse; }

  void make_folder(const fs::path& path) const {
    std::error_code error;
    fs::create_directories(path, error);
    if (error) throw Error::output(cat(path.string(), ": ", error.message()));
  }

  void write_json(const fs::path& path, const Json& json) {
    make_folder(path.parent_path());
    write_file_atomic(path, json.dump(2) + "\n", if_exists());
    report_.files.push_back(path);
  }

  void write_component(const ComponentFiles& component) {
    const std::string name = component_folder(model_, component);
    const fs::path folder = folder_ / name;
    make_folder(folder);
    auto view = std::make_shared<RenamedTensors>(component.weights);
    for (const auto& [key, file_key] : module_keys(component, report_.dropped)) {
      view->add_whole(key, file_key);
    }
    TensorWriteOptions options;
    options.dtype = options_.dtype;
    options.max_shard_bytes = options_.max_shard_bytes;
    options.if_exists = if_exists();
    options.metadata = {{"format", "pt"}};
    const bool denoises = component.name == "unet" || component.name == "vae";
    TensorWriteReport written =
        write_tensors(*view, folder, denoises ? "diffusion_pytorch_model" : "model", options);
    report_.bytes += written.bytes;
    report_.converted += written.converted.size();
    for (fs::path& path : written.files) report_.files.push_back(std::move(path));
    for (const std::string& line : written.non_finite) {
      report_.warnings.push_back(cat(name, ": ", line));
    }
    write_json(folder / "config.json", component.config);
  }

  void copy_tokenizer() {
    if (model_.tokenizer.empty()) return;
    constexpr std::uint64_t kMost = std::uint64_t{64} << 20U;
    make_folder(folder_ / "tokenizer");
    for (const char* name : kTokenizerFiles) {
      std::error_code error;
      if (!fs::exists(model_.tokenizer / name, error)) continue;
      const fs::path path = folder_ / "tokenizer" / name;
      write_file_atomic(path, read_small_file(model_.tokenizer / name, kMost), if_exists());
      report_.files.push_back(path);
    }
  }

  void write_defaults() {
    Json json = Json::object();
    GenerationDefaults defaults = model_.defaults;
    defaults.visit([&json](const char* key, const auto& value) {
      if (value) json[key] = *value;
    });
    if (!json.empty()) write_json(folder_ / "generation_config.json", json);
  }

  /// model_index.json without the parts that are not read here.
  Json index() {
    Json index = model_.model_index;
    for (auto& [key, value] : index.items()) {
      if (!value.is_array() || value.size() != 2 || !value[1].is_string()) continue;
      const std::string name = key;
      const bool kept = name == "scheduler" || name == "tokenizer" || name == "low_res_scheduler" ||
                        std::find(kWrittenComponents.begin(), kWrittenComponents.end(), name) !=
                            kWrittenComponents.end();
      if (kept) continue;
      report_.dropped.push_back(
          cat(name, " (", value[1].get<std::string>(), "): ldm-gen reads no such component"));
      value = Json::array({nullptr, nullptr});
    }
    return index;
  }

  const ModelFiles& model_;
  fs::path folder_;
  const ExportOptions& options_;
  ExportReport report_;
};

void check_folder_is_free(const fs::path& folder, bool overwrite) {
  std::error_code error;
  if (fs::exists(folder, error) && !fs::is_directory(folder, error)) {
    throw Error::output(folder.string() + " is a file", "name a folder, or FILE.safetensors");
  }
  if (!overwrite && fs::exists(folder, error) && !fs::is_empty(folder, error)) {
    throw Error::output(folder.string() + ": the folder is not empty",
                        "choose another, or --overwrite");
  }
}

}  // namespace

std::string component_folder(const ModelFiles& model, const ComponentFiles& component) {
  const std::vector<std::string> names =
      component.name == "vae" ? std::vector<std::string>{"vae", "vqvae"}
      : component.name == "unet"
          ? std::vector<std::string>{"unet"}
          : std::vector<std::string>{"text_encoder", "bert", "class_embedder"};
  for (const std::string& name : names) {
    const auto found = model.model_index.find(name);
    if (found != model.model_index.end() && found->is_array() && found->size() == 2 &&
        (*found)[1].is_string()) {
      return name;
    }
  }
  return names.front();
}

LayoutKeys module_keys(const ComponentFiles& component, std::vector<std::string>& dropped) {
  const KeyMap& map = key_map(component.class_name);
  LayoutKeys keys;
  for (const std::string& name : component.weights->names()) {
    if (auto key = map.rename(name)) {
      keys.emplace(*std::move(key), name);
    } else if (name.starts_with(kUnusedButPublished)) {
      keys.emplace(name, name);
    } else {
      dropped.push_back(cat(component.name, "/", name, ": no module needs it"));
    }
  }
  return keys;
}

ExportReport export_folder(const ModelFiles& model, const fs::path& folder,
                           const ExportOptions& options) {
  check_folder_is_free(folder, options.overwrite);
  return FolderWriter(model, folder, options).write();
}

}  // namespace ldm
