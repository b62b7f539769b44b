#include <array>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/open_tensors.h"
#include "ldm/loading/component_folder.h"
#include "ldm/loading/original_configs.h"
#include "ldm/loading/single_file.h"

namespace ldm {
namespace fs = std::filesystem;

namespace {

using Json = nlohmann::json;

/// Where autoencoders keep their names, the original layout first.
constexpr std::array<std::string_view, 3> kPrefixes = {"first_stage_model.", "vae.", ""};

ComponentFiles open_folder(const fs::path& folder) {
  std::error_code error;
  if (fs::exists(folder / "model_index.json", error)) {
    for (const char* name : {"vae", "vqvae"}) {
      if (fs::exists(folder / name / "config.json", error)) return open_folder(folder / name);
    }
  }
  return open_component_folder(folder, "vae", "autoencoder");
}

/// The published configuration with as many levels and that kind of codes, for what tensors do not
/// say; Stable Diffusion's for a KL autoencoder of eight times and four channels.
Json defaults_for(const VaeOutline& outline, const TensorSource& tensors) {
  const bool quantized = tensors.find("quantize.embedding.weight") != nullptr;
  constexpr std::size_t kLevels = 4;
  const TensorInfo* conv = tensors.find("decoder.conv_in.weight");
  const std::int64_t channels = conv != nullptr && conv->shape.size() > 1 ? conv->shape[1] : 0;
  if (!quantized && outline.levels == kLevels && channels == 4) {
    return family_defaults("sd15").at("vae");
  }
  return family_defaults(quantized ? "vq-f4" : "kl-f4").at("vae");
}

ComponentFiles open_original(const fs::path& path,
                             const std::shared_ptr<const TensorSource>& source, LayoutKeys keys) {
  std::erase_if(keys, [](const auto& item) {
    return find_dropped(item.second) != nullptr || find_dropped(item.first) != nullptr;
  });
  const VaeOutline outline = outline_original_vae(keys);
  auto view = std::make_shared<RenamedTensors>(source);
  add_from_original(*view, *source, keys, vae_blocks(outline));
  Json config = defaults_for(outline, *view);
  std::vector<std::string> evidence;
  infer_vae_config(config, outline, *view, evidence);
  std::string class_name = config["_class_name"].get<std::string>();
  return {"vae", std::move(class_name), std::move(config), path.string() + " (inferred config)",
          std::move(view)};
}

ComponentFiles open_diffusers(const fs::path& path,
                              const std::shared_ptr<const TensorSource>& source,
                              const LayoutKeys& keys) {
  auto view = std::make_shared<RenamedTensors>(source);
  for (const auto& [key, name] : keys) view->add_whole(key, name);
  if (view->find("encoder.layers.0.weight") != nullptr) {
    Json config = {{"_class_name", "AutoencoderTiny"}};
    return {"vae", "AutoencoderTiny", std::move(config), path.string() + " (inferred config)",
            std::move(view)};
  }
  const VaeOutline outline = outline_diffusers_vae(keys);
  Json config = defaults_for(outline, *view);
  std::vector<std::string> evidence;
  infer_vae_config(config, outline, *view, evidence);
  std::string class_name = config["_class_name"].get<std::string>();
  return {"vae", std::move(class_name), std::move(config), path.string() + " (inferred config)",
          std::move(view)};
}

}  // namespace

ComponentFiles open_vae_file(const fs::path& path) {
  std::error_code error;
  if (fs::is_directory(path, error)) return open_folder(path);
  const auto source = open_tensors(path);
  for (const std::string_view prefix : kPrefixes) {
    LayoutKeys keys = keys_below(*source, prefix);
    if (has_block(keys, "encoder.down.0")) return open_original(path, source, std::move(keys));
    if (has_block(keys, "encoder.down_blocks.0") || has_block(keys, "encoder.layers.0")) {
      return open_diffusers(path, source, keys);
    }
  }
  constexpr std::size_t kFew = 3;
  throw Error::model(cat(path.string(), " holds no autoencoder: no tensor below encoder.down (",
                         join(source->names(), ", ", kFew), ")"),
                     "give an autoencoder in diffusers' or the original layout");
}

}  // namespace ldm
