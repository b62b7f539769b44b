#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ldm/core/execution_request.h"
#include "ldm/io/png.h"
#include "ldm/loading/controlnet_choice.h"
#include "ldm/loading/embedding_request.h"
#include "ldm/pipeline/pipeline.h"

namespace ldm::app {

/// What is written into a picture beside its pixels.
enum class MetadataMode { kFull, kA1111, kNone };

/// The mode of that --metadata word.
MetadataMode metadata_mode(std::string_view word);

/// What the pictures of one run have in common.
struct RunFacts {
  Plan plan;
  std::string model_name;  ///< folder name or org/name; never a path
  std::string family;
  ExecutionSummary execution;
  std::string init_image_sha256;    ///< empty without one
  std::string vae_name;             ///< empty for the model's own
  std::string mask_sha256;          ///< empty without one
  std::string depth_sha256;         ///< empty without one
  std::string init_latents_sha256;  ///< empty without one
  std::string asked_dtype;          ///< empty where the machine decides
  bool fast = false;                ///< asked for, whether or not this machine can
  std::vector<EmbeddingUse> embeddings;
  std::vector<ControlNetUse> controlnets;
  std::vector<std::string> control_image_sha256;  ///< one a ControlNet
  std::map<std::string, std::string> weights;  ///< SHA-256 by component; empty before they are read
  std::map<std::string, std::string> determinism;  ///< as `determinism_settings` says
  int first_index = 0;  ///< number of the plan's first image among several init latents
};

/// A resolved request under the keys of the options, as config files spell them. Files and their
/// paths are left out.
nlohmann::ordered_json request_json(const Plan& plan);

/// The LoRAs of a plan: name, SHA-256 and scale of each.
nlohmann::ordered_json loras_json(const Plan& plan);

/// The ControlNets of a run: name and scale of each.
nlohmann::ordered_json controlnets_json(const RunFacts& facts);

/// SHA-256 of what a user asked for with one picture: model, request, seed and inputs, whatever the
/// batch, the machine and the version. Two pictures of one hash are takes of the same wish.
std::string job_hash(const RunFacts& facts, std::uint64_t seed);

/// All that decides a picture (schema 1) and the hash of what each stage gave, without times, dates
/// or paths, so that the same request gives the same bytes. What is empty is left out.
nlohmann::ordered_json picture_settings(const RunFacts& facts, const ImageResult& result);

/// The settings in the form of AUTOMATIC1111's "parameters" text, which many tools read. Its clip
/// skip counts from 1 (diffusers' + 1).
std::string parameters_text(const RunFacts& facts, std::uint64_t seed);

/// The PNG text of one picture: "parameters", and in full mode "ldm-gen" with the settings.
std::vector<PngText> picture_text(MetadataMode mode, const RunFacts& facts,
                                  const ImageResult& result);

/// The settings that a whole and undamaged PNG records; null for any other bytes.
nlohmann::json settings_in_png(std::span<const std::byte> png);

/// Whether a file is such a PNG of that `job_hash`.
bool records_job(const std::string& png_path, const std::string& job);

}  // namespace ldm::app
