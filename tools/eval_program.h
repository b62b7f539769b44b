#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "ldm/app/console.h"
#include "ldm/core/execution_request.h"
#include "ldm/train/classifier.h"

namespace ldm::tools {

/// What the commands of ldm-eval are called with; each reads its own part.
struct EvalOptions {
  std::string data;
  std::string vae;
  std::string lpips_net = "alex", lpips_lin, lpips_backbone, lpips_weights;
  std::string output;
  std::string images;
  std::string model;
  std::string prompts;
  std::string classifier;
  std::string save;
  std::string sampler = "ddim";
  std::optional<double> guidance_scale;
  std::int64_t limit = 0;
  std::int64_t steps = 0;
  std::int64_t seed = 0;
  int threads = 0;
  bool overwrite = false;
  bool json = false;
  bool quiet = false;
};

/// PSNR, SSIM and, with weights for it, LPIPS between pictures and what an autoencoder makes of
/// them.
void evaluate_reconstruction(const EvalOptions& o, app::Console& console);

/// Makes the classifier that judges pictures, and says how often it is right itself.
void make_classifier(const EvalOptions& o, app::Console& console);

/// How often pictures show what their prompts ask for: those in a folder, or made here.
void evaluate_prompts(const EvalOptions& o, app::Console& console);

/// "97.5 %" of a part 0 … 1.
std::string percent(double part);
nlohmann::ordered_json as_json(const train::AttributeAccuracy& accuracy);
void show(const train::AttributeAccuracy& accuracy, app::Console& console);
/// Redraws one line at the end of a terminal; an empty one removes it.
void show_progress(const std::string& line, app::Console& console);
ExecutionRequest execution_of(const EvalOptions& o);

}  // namespace ldm::tools
