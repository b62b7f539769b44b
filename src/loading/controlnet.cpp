#include "ldm/loading/controlnet.h"

#include <utility>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/open_tensors.h"
#include "ldm/io/original_layout.h"
#include "ldm/loading/component_folder.h"
#include "ldm/loading/components.h"
#include "ldm/loading/config_fields.h"
#include "ldm/models/unet_2d_condition.h"

namespace ldm {
namespace fs = std::filesystem;

namespace {

using Json = nlohmann::json;

constexpr const char* kContextKey =
    "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight";

/// What the names of a ControlNet's tensors follow from.
UNetOutline outline_of(const Json& unet_config, const std::string& where) {
  const auto config = read_config<models::UNet2DConditionConfig>(unet_config, where);
  UNetOutline outline;
  outline.levels = config.levels();
  outline.layers = static_cast<std::size_t>(config.layers_per_block.at(0));
  for (const std::string& type : config.down_block_types) {
    outline.attention.push_back(type.starts_with("CrossAttn"));
  }
  return outline;
}

std::int64_t dim_of(const TensorSource& source, const std::string& name, std::size_t dim) {
  const TensorInfo* info = source.find(name);
  return info != nullptr && info->shape.size() > dim ? info->shape[dim] : 0;
}

/// The UNet's config with what the file's own tensors say.
Json config_of(const Json& unet_config, const TensorSource& tensors) {
  Json config = unet_config;
  config["_class_name"] = "ControlNetModel";
  config["in_channels"] = dim_of(tensors, "conv_in.weight", 1);
  Json widths = {dim_of(tensors, "controlnet_cond_embedding.conv_in.weight", 0)};
  for (std::size_t i = 1;; i += 2) {
    const std::string name = cat("controlnet_cond_embedding.blocks.", i, ".weight");
    if (tensors.find(name) == nullptr) break;
    widths.push_back(dim_of(tensors, name, 0));
  }
  config["conditioning_embedding_out_channels"] = widths;
  return config;
}

ComponentFiles with_unet_config(const fs::path& path, std::shared_ptr<RenamedTensors> view,
                                const Json& unet_config) {
  Json config = config_of(unet_config, *view);
  return {"controlnet", "ControlNetModel", std::move(config),
          path.string() + " (the UNet's config)", std::move(view)};
}

ComponentFiles open_file(const fs::path& path, const ComponentFiles& unet) {
  const auto source = open_tensors(path);
  if (source->find("difference") != nullptr) {
    throw Error::model(cat(path.string(), " holds differences to a UNet's weights, not weights"),
                       "give the ControlNet's full weights");
  }
  for (const std::string_view prefix : {"control_model.", ""}) {
    const LayoutKeys keys = keys_below(*source, prefix);
    auto view = std::make_shared<RenamedTensors>(source);
    if (has_block(keys, "input_hint_block.0")) {
      const UNetOutline outline = outline_of(unet.config, unet.config_source);
      const std::size_t inputs = outline.levels * (outline.layers + 1);
      add_from_original(*view, *source, keys, controlnet_blocks(outline, inputs));
      return with_unet_config(path, std::move(view), unet.config);
    }
    if (has_block(keys, "controlnet_cond_embedding")) {
      for (const auto& [key, name] : keys) view->add_whole(key, name);
      return with_unet_config(path, std::move(view), unet.config);
    }
  }
  constexpr std::size_t kFew = 3;
  throw Error::model(cat(path.string(),
                         " holds no ControlNet: no tensor below input_hint_block or "
                         "controlnet_cond_embedding (",
                         join(source->names(), ", ", kFew), ")"),
                     "give a ControlNet in diffusers' or the original layout");
}

/// One line where a ControlNet is not a copy of that UNet's first half.
void check_family(const ControlNetPart& part, const Components& c) {
  const auto* unet = dynamic_cast<const models::UNet2DConditionModelImpl*>(&c.unet.bare());
  const std::string where = part.files.config_source;
  if (unet == nullptr) {
    throw Error::model(cat(where, ": a ControlNet needs a UNet that sees a text"));
  }
  const models::ControlNetConfig& own = part.net.bare().config;
  const std::int64_t context = dim_of(*part.files.weights, kContextKey, 1);
  const std::int64_t wanted = unet->config.cross_attention_dim.at(0);
  const bool widths = own.block_out_channels == unet->config.block_out_channels;
  const std::int64_t latents = c.vae.bare().shape().latent_channels;
  if (context != wanted || !widths || own.in_channels != latents) {
    throw Error::model(
        cat(where, ": a ControlNet of another family: ", own.in_channels,
            " channels in and a text ", context, " wide", widths ? "" : ", other widths",
            "; the model has ", latents, " and ", wanted),
        "give a ControlNet that was trained for this kind of model");
  }
  const std::string problems = part.net.binding().problems(part.files.name);
  if (!problems.empty()) {
    throw Error::model(cat(where, ": weights do not fit the config: ", problems));
  }
}

}  // namespace

ControlNetPart::ControlNetPart(ComponentFiles component, const ControlNetChoice& choice,
                               const Execution& execution, const LoadContext& loading)
    : files(std::move(component)),
      display_name(choice.path.lexically_normal().filename().string()),
      scale(choice.scale),
      net(std::make_shared<models::ControlNetModelImpl>(
              read_config<models::ControlNetConfig>(files.config, files.config_source)),
          files, execution, loading) {}

ComponentFiles open_controlnet(const fs::path& path, const ComponentFiles& unet) {
  std::error_code error;
  if (!fs::is_directory(path, error)) return open_file(path, unet);
  ComponentFiles files = open_component_folder(path, "controlnet", "ControlNet");
  if (files.class_name == "ControlNetModel") return files;
  throw Error::model(cat(files.config_source, ": a ", files.class_name, ", not a ControlNetModel"));
}

void add_controlnets(Components& c, const std::vector<ControlNetChoice>& choices) {
  for (const ControlNetChoice& choice : choices) {
    ComponentFiles files = open_controlnet(choice.path, c.files.component("unet"));
    if (!c.controlnets.empty()) files.name += cat("-", c.controlnets.size() + 1);
    auto part = std::make_unique<ControlNetPart>(std::move(files), choice, c.execution, c.loading);
    check_family(*part, c);
    c.controlnets.push_back(std::move(part));
  }
}

std::vector<ControlNetUse> controlnets_in_use(const Components& components) {
  std::vector<ControlNetUse> uses;
  for (const auto& part : components.controlnets) {
    uses.push_back({part->display_name, part->scale});
  }
  return uses;
}

}  // namespace ldm
