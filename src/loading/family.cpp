#include "ldm/loading/family.h"

#include <array>
#include <cstdint>

#include "ldm/core/text.h"

namespace ldm {
namespace {

/// What a row asks of the configs; 0 or "" where it does not matter.
struct FamilyRow {
  const char* name;
  std::int64_t cross_attention_dim;
  std::int64_t in_channels;
  const char* prediction_type;
};

// The first row that fits names the family.
constexpr std::array<FamilyRow, 8> kFamilies = {{
    {"Stable Diffusion 1.x", 768, 4, ""},
    {"Stable Diffusion 1.x inpainting", 768, 9, ""},
    {"InstructPix2Pix (Stable Diffusion 1.x)", 768, 8, ""},
    {"Stable Diffusion 2.x (768, v-prediction)", 1024, 4, "v_prediction"},
    {"Stable Diffusion 2.x (base, epsilon)", 1024, 4, ""},
    {"Stable Diffusion 2.x inpainting", 1024, 9, ""},
    {"Stable Diffusion 2.x depth", 1024, 5, ""},
    {"Stable Diffusion x4 upscaler", 1024, 7, ""},
}};

std::int64_t integer(const nlohmann::json& config, const char* key, std::int64_t fallback) {
  const auto found = config.find(key);
  return found != config.end() && found->is_number_integer() ? found->get<std::int64_t>()
                                                             : fallback;
}

std::string text(const nlohmann::json& config, const char* key, const char* fallback) {
  const auto found = config.find(key);
  return found != config.end() && found->is_string() ? found->get<std::string>() : fallback;
}

}  // namespace

Family recognise_family(const nlohmann::json& unet_config, const nlohmann::json& text_config,
                        const nlohmann::json& scheduler_config) {
  const std::int64_t context = integer(unet_config, "cross_attention_dim", 1280);
  const std::int64_t channels = integer(unet_config, "in_channels", 4);
  const std::string prediction = text(scheduler_config, "prediction_type", "epsilon");
  Family family;
  family.evidence = {
      cat("unet/config.json: cross_attention_dim ", context, ", in_channels ", channels),
      cat("scheduler/scheduler_config.json: prediction_type ", prediction),
  };
  if (text_config.is_object()) {
    family.evidence.push_back(cat("text_encoder/config.json: hidden_size ",
                                  integer(text_config, "hidden_size", 512), ", ",
                                  integer(text_config, "num_hidden_layers", 12), " layers, ",
                                  text(text_config, "hidden_act", "quick_gelu")));
  }
  for (const FamilyRow& row : kFamilies) {
    const bool fits = row.cross_attention_dim == context && row.in_channels == channels &&
                      (row.prediction_type[0] == '\0' || row.prediction_type == prediction);
    if (!fits) continue;
    family.name = row.name;
    return family;
  }
  family.name = "other latent diffusion model in Stable Diffusion layout";
  return family;
}

}  // namespace ldm
