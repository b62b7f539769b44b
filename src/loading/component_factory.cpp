#include "ldm/loading/component_factory.h"

#include <span>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/loading/config_fields.h"
#include "ldm/models/autoencoder_kl.h"
#include "ldm/models/autoencoder_tiny.h"
#include "ldm/models/class_embedder.h"
#include "ldm/models/clip_text_model.h"
#include "ldm/models/ldm_bert.h"
#include "ldm/models/roberta_series.h"
#include "ldm/models/unet_2d.h"
#include "ldm/models/unet_2d_condition.h"
#include "ldm/models/vq_model.h"

namespace ldm {
namespace {

template <typename Base>
struct ClassRow {
  std::string_view class_name;
  std::shared_ptr<Base> (*make)(const ComponentFiles&);
};

template <typename Base, typename Module, typename Config>
std::shared_ptr<Base> make_module(const ComponentFiles& files) {
  return std::make_shared<Module>(read_config<Config>(files.config, files.config_source));
}

template <typename Base>
std::shared_ptr<Base> make_from(std::span<const ClassRow<Base>> rows, const ComponentFiles& files) {
  std::vector<std::string> known;
  for (const ClassRow<Base>& row : rows) {
    if (row.class_name == files.class_name) return row.make(files);
    known.emplace_back(row.class_name);
  }
  throw Error::model(cat(files.config_source, ": ", files.name, " is a ", files.class_name,
                         ", ldm-gen runs ", join(known, ", ")));
}

/// Published folders of quantized models that lack scaling_factor were trained with 1, whatever the
/// public class assumes.
std::shared_ptr<models::AutoencoderImpl> make_vq_model(const ComponentFiles& files) {
  nlohmann::json config = files.config;
  if (config.is_object() && !config.contains("scaling_factor")) config["scaling_factor"] = 1.0;
  return std::make_shared<models::VQModelImpl>(
      read_config<models::VQModelConfig>(config, files.config_source));
}

// One row a class that model_index.json or config.json may name.
constexpr ClassRow<models::TextEncoderImpl> kTextEncoders[] = {
    {"CLIPTextModel",
     &make_module<models::TextEncoderImpl, models::CLIPTextModelImpl, models::CLIPTextConfig>},
    {"LDMBertModel",
     &make_module<models::TextEncoderImpl, models::LDMBertModelImpl, models::LDMBertConfig>},
    {"RobertaSeriesModelWithTransformation",
     &make_module<models::TextEncoderImpl, models::RobertaSeriesModelWithTransformationImpl,
                  models::RobertaSeriesConfig>},
    {"ClassEmbedder",
     &make_module<models::TextEncoderImpl, models::ClassEmbedderImpl, models::ClassEmbedderConfig>},
};
constexpr ClassRow<models::DenoiserImpl> kDenoisers[] = {
    {"UNet2DConditionModel", &make_module<models::DenoiserImpl, models::UNet2DConditionModelImpl,
                                          models::UNet2DConditionConfig>},
    {"UNet2DModel",
     &make_module<models::DenoiserImpl, models::UNet2DModelImpl, models::UNet2DConfig>},
};
constexpr ClassRow<models::AutoencoderImpl> kAutoencoders[] = {
    {"AutoencoderKL",
     &make_module<models::AutoencoderImpl, models::AutoencoderKLImpl, models::AutoencoderKLConfig>},
    {"AutoencoderTiny", &make_module<models::AutoencoderImpl, models::AutoencoderTinyImpl,
                                     models::AutoencoderTinyConfig>},
    {"VQModel", &make_vq_model},
};

}  // namespace

std::shared_ptr<models::TextEncoderImpl> make_text_encoder(const ComponentFiles& files) {
  return make_from<models::TextEncoderImpl>(kTextEncoders, files);
}

std::shared_ptr<models::DenoiserImpl> make_denoiser(const ComponentFiles& files) {
  return make_from<models::DenoiserImpl>(kDenoisers, files);
}

std::shared_ptr<models::AutoencoderImpl> make_autoencoder(const ComponentFiles& files) {
  return make_from<models::AutoencoderImpl>(kAutoencoders, files);
}

}  // namespace ldm
