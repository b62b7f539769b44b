#include "ldm/loading/family.h"

#include <array>

#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm {
namespace {

/// What a row asks of the configs; "" where it does not matter, -1 for no attention to a sequence.
struct FamilyRow {
  const char* name;
  std::int64_t cross_attention_dim;
  std::int64_t in_channels;
  const char* prediction_type;
};

constexpr std::int64_t kUnconditional = -1;

// The first row that fits names the family.
constexpr std::array<FamilyRow, 14> kFamilies = {{
    {"Stable Diffusion 1.x", 768, 4, ""},
    {"Stable Diffusion 1.x inpainting", 768, 9, ""},
    {"InstructPix2Pix (Stable Diffusion 1.x)", 768, 8, ""},
    {"Stable Diffusion 2.x (768, v-prediction)", 1024, 4, "v_prediction"},
    {"Stable Diffusion 2.x (base, epsilon)", 1024, 4, ""},
    {"Stable Diffusion 2.x inpainting", 1024, 9, ""},
    {"Stable Diffusion 2.x depth", 1024, 5, ""},
    {"Stable Diffusion x4 upscaler", 1024, 7, ""},
    {"Latent Diffusion text to image (large)", 1280, 4, ""},
    {"Latent Diffusion text to image (256, VQ-f4)", 640, 3, ""},
    {"Latent Diffusion class to image (VQ-f4)", 512, 3, ""},
    {"Latent Diffusion class to image (VQ-f8)", 512, 4, ""},
    {"Latent Diffusion unconditional (VQ-f4)", kUnconditional, 3, ""},
    {"Latent Diffusion unconditional (KL-f8)", kUnconditional, 4, ""},
}};

constexpr auto kNone = ConditionKind::kNone;
constexpr auto kClip = ConditionKind::kClip;
constexpr auto kOpenClip = ConditionKind::kOpenClip;
constexpr auto kBert = ConditionKind::kBert;
constexpr auto kClass = ConditionKind::kClass;

// Heads and averaged weights: the published yaml files of CompVis and Stability-AI.
constexpr std::array<CheckpointFamily, 13> kCheckpoints = {{
    {"Stable Diffusion 1.x", kClip, -1, 4, 0, "sd15", nullptr, nullptr, 8, 0, false},
    {"Stable Diffusion 1.x inpainting", kClip, -1, 9, 0, "sd-inpainting", nullptr, nullptr, 8, 0,
     false},
    {"InstructPix2Pix (Stable Diffusion 1.x)", kClip, -1, 8, 0, "instruct-pix2pix", nullptr,
     nullptr, 8, 0, false},
    {"Stable Diffusion 2.x", kOpenClip, -1, 4, 0, "sd21-base", "sd21", nullptr, 0, 64, false},
    {"Stable Diffusion 2.x inpainting", kOpenClip, -1, 9, 0, "sd21-base", nullptr,
     "StableDiffusionInpaintPipeline", 0, 64, false},
    {"Stable Diffusion 2.x depth", kOpenClip, -1, 5, 0, "sd-depth", nullptr, nullptr, 0, 64, false},
    {"Stable Diffusion x4 upscaler", kOpenClip, -1, 7, 0, "sd-x4-upscaler", nullptr, nullptr, 8, 0,
     false},
    {"Latent Diffusion text to image (large)", kBert, 0, 0, 0, "txt2img-large", nullptr, nullptr, 8,
     0, false},
    {"Latent Diffusion text to image (256, VQ-f4)", kBert, 1, 0, 0, "text2img256", nullptr, nullptr,
     0, 32, true},
    {"Latent Diffusion class to image (VQ-f4)", kClass, 1, 0, 3, "cin256-v2", nullptr, nullptr, 1,
     0, false},
    {"Latent Diffusion class to image (VQ-f8)", kClass, 1, 0, 4, "cin256", nullptr, nullptr, 0, 32,
     true},
    {"Latent Diffusion unconditional (VQ-f4)", kNone, 1, 0, 0, "celebahq256", nullptr, nullptr, 0,
     32, true},
    {"Latent Diffusion unconditional (KL-f8)", kNone, 0, 0, 0, "lsun-churches256", nullptr, nullptr,
     8, 0, true},
}};

constexpr std::array<const char*, 5> kConditionNames = {"nothing", "a CLIP text encoder",
                                                        "an OpenCLIP text encoder",
                                                        "a BERT text encoder", "a class embedding"};

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
  const bool attends = text(unet_config, "_class_name", "") != "UNet2DModel";
  const std::int64_t context =
      attends ? integer(unet_config, "cross_attention_dim", 1280) : kUnconditional;
  const std::int64_t channels = integer(unet_config, "in_channels", attends ? 4 : 3);
  const std::string prediction = text(scheduler_config, "prediction_type", "epsilon");
  Family family;
  family.evidence = {
      attends ? cat("unet/config.json: cross_attention_dim ", context, ", in_channels ", channels)
              : cat("unet/config.json: UNet2DModel, in_channels ", channels),
      cat("scheduler/scheduler_config.json: prediction_type ", prediction),
  };
  if (text_config.is_object() && text_config.contains("hidden_size")) {
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

const CheckpointFamily& find_checkpoint_family(const CheckpointFacts& facts) {
  for (const CheckpointFamily& row : kCheckpoints) {
    const bool fits = row.condition == facts.condition &&
                      facts.attends == (row.condition != kNone) &&
                      (row.quantized < 0 || (row.quantized == 1) == facts.quantized) &&
                      (row.in_channels == 0 || row.in_channels == facts.in_channels) &&
                      (row.out_channels == 0 || row.out_channels == facts.out_channels);
    if (fits) return row;
  }
  throw Error::model(
      cat("no known family: a UNet of ", facts.in_channels, " input and ", facts.out_channels,
          " output channels, ", facts.attends ? "with" : "without", " cross-attention, on ",
          kConditionNames.at(static_cast<std::size_t>(facts.condition)), " and a ",
          facts.quantized ? "VQ" : "KL", " autoencoder"),
      "a diffusers folder of the model says all that the file does not");
}

}  // namespace ldm
