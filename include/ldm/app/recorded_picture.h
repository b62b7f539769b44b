#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "ldm/app/options.h"
#include "ldm/io/png.h"
#include "ldm/loading/controlnet_choice.h"
#include "ldm/loading/embedding_request.h"
#include "ldm/loading/lora_request.h"
#include "ldm/pipeline/stage_hashes.h"

namespace ldm::app {

/// What a picture's text says of how it was made, ready to be made again. It may come from
/// anywhere: it never names a file to open.
struct RecordedPicture {
  bool own = true;         ///< from "ldm-gen"; false: from the "parameters" text of any tool
  Options options;         ///< of this picture alone, device, dtype and threads among them
  std::int64_t index = 0;  ///< k in its run: which of several init latents it began with
  std::string job;         ///< its `job_hash`
  std::string model;
  std::string model_hash;                    ///< other tools': how the SHA-256 of its file begins
  std::string vae;                           ///< empty for the model's own
  std::map<std::string, std::string> files;  ///< SHA-256 by setting, as `recorded_files` name it
  std::vector<LoraUse> loras;
  std::vector<EmbeddingUse> embeddings;
  std::vector<ControlNetUse> controlnets;
  std::vector<std::string> control_image_sha256;
  std::map<std::string, std::string> weights;      ///< SHA-256 by component
  std::map<std::string, std::string> environment;  ///< as `environment_of` names it
  StageHashes stages;
  std::vector<std::string> notes;  ///< what could not be taken over, for people
};

/// Reads the text of the picture `name`: "ldm-gen" where it is there, which must be whole and of
/// the right types, else "parameters", of which is taken what ldm-gen knows. Throws Error::input
/// naming the field, or where there is neither.
RecordedPicture read_recorded_picture(std::span<const PngText> text, const std::string& name);

/// Where a picture was made, as the settings of `picture_settings` say it: version, revision,
/// libtorch, device, gpu, dtype, isa, threads, and determinism.* each. Numbers become text.
std::map<std::string, std::string> environment_of(const nlohmann::json& settings);

}  // namespace ldm::app
