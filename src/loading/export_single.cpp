#include <array>
#include <cmath>
#include <cstring>
#include <set>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/joined_tensors.h"
#include "ldm/io/safetensors_writer.h"
#include "ldm/loading/export_model.h"
#include "ldm/loading/single_file.h"

namespace ldm {
namespace fs = std::filesystem;

namespace {

using Json = nlohmann::json;

/// Where a component goes in a single file: its blocks and the prefix of their names.
struct Place {
  LayoutBlocks blocks;
  std::string prefix;
};

/// Heads by level of a UNet2DModel, whose attention_head_dim is the width of a head.
std::vector<std::int64_t> attention_block_heads(const Json& config, std::size_t levels) {
  const std::vector<std::int64_t> widths =
      config.at("block_out_channels").get<std::vector<std::int64_t>>();
  const Json head_dim = config.value("attention_head_dim", Json(8));
  std::vector<std::int64_t> heads;
  for (std::size_t i = 0; i < levels && i < widths.size(); ++i) {
    const Json& dim = head_dim.is_array() ? head_dim.at(i) : head_dim;
    const std::int64_t width = dim.is_number_integer() ? dim.get<std::int64_t>() : widths[i];
    heads.push_back(width > 0 ? std::max<std::int64_t>(1, widths[i] / width) : 1);
  }
  return heads;
}

Place text_place(const ComponentFiles& component, const LayoutKeys& keys) {
  if (component.class_name == "LDMBertModel") {
    return {bert_blocks(count_blocks(keys, "model.layers")), "cond_stage_model.transformer."};
  }
  if (component.class_name == "ClassEmbedder")
    return {class_embedder_blocks(), "cond_stage_model."};
  // OpenAI's CLIP goes by Hugging Face's names, OpenCLIP by its own; the activation tells them
  // apart.
  if (component.config.value("hidden_act", "quick_gelu") == "quick_gelu") {
    return {clip_blocks(), "cond_stage_model.transformer."};
  }
  return {open_clip_blocks(count_blocks(keys, "text_model.encoder.layers")),
          "cond_stage_model.model."};
}

Place place_of(const ComponentFiles& component, const LayoutKeys& keys) {
  static const std::set<std::string> known = {
      "UNet2DConditionModel", "UNet2DModel",  "AutoencoderKL", "VQModel",
      "CLIPTextModel",        "LDMBertModel", "ClassEmbedder"};
  if (!known.contains(component.class_name)) {
    throw Error::model(cat("there is no single-file layout for a ", component.class_name),
                       "write a folder instead: name one that does not end in .safetensors");
  }
  if (component.name == "unet") {
    UNetOutline outline = outline_diffusers_unet(keys);
    if (!outline.transformer) {
      outline.heads = attention_block_heads(component.config, outline.levels);
    }
    return {unet_blocks(outline), "model.diffusion_model."};
  }
  if (component.name == "vae") {
    return {vae_blocks(outline_diffusers_vae(keys)), "first_stage_model."};
  }
  return text_place(component, keys);
}

std::vector<std::byte> float_bytes(float value) {
  std::vector<std::byte> bytes(sizeof(value));
  std::memcpy(bytes.data(), &value, sizeof(value));
  return bytes;
}

/// Fields that training or bookkeeping left in a config and that change nothing.
bool is_telling(const std::string& key) {
  static const std::set<std::string> ignored = {"_class_name",
                                                "_diffusers_version",
                                                "_name_or_path",
                                                "architectures",
                                                "model_type",
                                                "torch_dtype",
                                                "dtype",
                                                "transformers_version",
                                                "projection_dim",
                                                "bos_token_id",
                                                "eos_token_id",
                                                "pad_token_id",
                                                "dropout",
                                                "attention_dropout",
                                                "initializer_factor",
                                                "initializer_range",
                                                "sample_size",
                                                "force_upcast",
                                                "use_cache",
                                                "encoder_layerdrop",
                                                "activation_dropout",
                                                "classifier_dropout",
                                                "init_std",
                                                "upcast_attention"};
  return !ignored.contains(key);
}

/// What a field means that a config leaves out: diffusers' defaults of those that its newer
/// versions write and older ones did not.
Json default_of(const std::string& key) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 13> kDefaults = {{
      {"addition_embed_type_num_heads", "64"},
      {"attention_type", "\"default\""},
      {"class_embeddings_concat", "false"},
      {"conv_in_kernel", "3"},
      {"conv_out_kernel", "3"},
      {"dual_cross_attention", "false"},
      {"mid_block_add_attention", "true"},
      {"mid_block_scale_factor", "1"},
      {"resnet_out_scale_factor", "1.0"},
      {"resnet_skip_time_act", "false"},
      {"time_embedding_type", "\"positional\""},
      {"use_post_quant_conv", "true"},
      {"use_quant_conv", "true"},
  }};
  for (const auto& [name, value] : kDefaults) {
    if (name == key) return Json::parse(value);
  }
  return nullptr;
}

/// A list of one value all over says the same as the value.
Json plain(const Json& value) {
  if (!value.is_array() || value.empty()) return value;
  for (const Json& item : value) {
    if (item != value.front()) return value;
  }
  return value.front();
}

bool same(const Json& a, const Json& b) {
  if (a.is_number_float() && b.is_number()) {
    const double x = a.get<double>();
    const double y = b.get<double>();
    constexpr double kFloatPrecision = 1e-6;
    return std::abs(x - y) <= kFloatPrecision * std::abs(x);
  }
  return plain(a) == plain(b);
}

void compare_configs(const ComponentFiles& had, const ComponentFiles& read,
                     std::vector<std::string>& warnings) {
  for (const auto& [key, value] : had.config.items()) {
    const auto found = read.config.find(key);
    const Json other = found == read.config.end() ? default_of(key) : *found;
    if (!is_telling(key) || same(value, other)) continue;
    warnings.push_back(cat(had.name, ".", key, " is ", value.dump(),
                           " and readers of the file will assume ", other.dump()));
  }
}

/// What will be lost because a single file has no configs: found by reading it back.
void compare_with_reading(const ModelFiles& model, const fs::path& file,
                          std::shared_ptr<const TensorSource> view,
                          std::vector<std::string>& warnings) {
  SingleFileOptions options;
  options.prediction_type = model.scheduler_config.value("prediction_type", "epsilon");
  options.needs_tokenizer = false;
  const ModelFiles read = open_checkpoint(file, std::move(view), options);
  for (const ComponentFiles& had : model.components) {
    if (const ComponentFiles* other = read.find(had.name)) compare_configs(had, *other, warnings);
  }
  for (const char* key : {"beta_start", "beta_end", "beta_schedule", "num_train_timesteps"}) {
    const Json had = model.scheduler_config.value(key, Json());
    const Json other = read.scheduler_config.value(key, Json());
    if (!had.is_null() && !same(had, other)) {
      warnings.push_back(cat("scheduler.", key, " is ", had.dump(),
                             " and readers of the file will assume ", other.dump()));
    }
  }
}

std::map<std::string, std::string> file_metadata(const ModelFiles& model) {
  const std::string type = model.scheduler_config.value("prediction_type", "epsilon");
  return {{"format", "pt"}, {"modelspec.prediction_type", type == "v_prediction" ? "v" : type}};
}

/// Models scaled by anything but the usual factors carry it as a tensor.
bool has_own_scale(double factor) {
  for (const double usual : {0.18215, 0.08333, 1.0}) {
    if (std::abs(factor - usual) < 1e-6) return false;
  }
  return true;
}

}  // namespace

std::shared_ptr<RenamedTensors> original_view(const ModelFiles& model,
                                              std::vector<std::string>& dropped) {
  const double factor = model.component("vae").config.value("scaling_factor", 0.18215);
  auto joined = std::make_shared<JoinedTensors>();
  for (const ComponentFiles& component : model.components) {
    joined->add(component.name + "/", component.weights);
  }
  joined->add_value("scale_factor", DType::F32, {}, float_bytes(static_cast<float>(factor)));
  auto view = std::make_shared<RenamedTensors>(joined);
  for (const ComponentFiles& component : model.components) {
    LayoutKeys keys = module_keys(component, dropped);
    const Place place = place_of(component, keys);
    for (auto& [key, name] : keys) name = cat(component.name, "/", name);
    for (const std::string& name :
         add_to_original(*view, *joined, keys, place.blocks, place.prefix)) {
      dropped.push_back(name + ": the original layout has no place for it");
    }
  }
  if (has_own_scale(factor)) view->add_whole("scale_factor", "scale_factor");
  return view;
}

ExportReport export_single_file(const ModelFiles& model, const fs::path& file,
                                const ExportOptions& options) {
  ExportReport report;
  report.dropped = model.dropped;
  const std::shared_ptr<RenamedTensors> view = original_view(model, report.dropped);
  compare_with_reading(model, file, view, report.warnings);
  report.dropped.emplace_back(
      "scheduler: a single file has no place for it; prediction_type goes into its metadata");
  if (!model.tokenizer.empty()) {
    report.dropped.emplace_back("tokenizer: a single file has no place for it");
  }
  TensorWriteOptions write;
  write.dtype = options.dtype;
  write.max_shard_bytes = options.max_shard_bytes;
  write.if_exists = options.overwrite ? IfExists::kReplace : IfExists::kRefuse;
  write.metadata = file_metadata(model);
  TensorWriteReport written = write_tensors(*view, file.parent_path(), file.stem().string(), write);
  report.files = std::move(written.files);
  report.bytes = written.bytes;
  report.converted = written.converted.size();
  for (std::string& line : written.non_finite) report.warnings.push_back(std::move(line));
  return report;
}

}  // namespace ldm
