#include "ldm/pipeline/compat.h"

#include <array>

#include "ldm/core/error.h"
#include "ldm/core/random.h"
#include "ldm/core/text.h"

namespace ldm {
namespace {

constexpr std::array kCompat = {
    Compat{"diffusers",
           "noise of torch's CPU generator, timesteps and their rounding as each scheduler class",
           NoiseSource::kTorchCpu, LevelStyle::kPublicClass, "", false},
    Compat{
        "a1111",
        "noise of torch's GPU generator (Philox), even levels from the last timestep to 0 with "
        "fractional timesteps, Brownian noise for dpmpp-2m-sde, first noise times sigma_max, long "
        "prompts in chunks, weights restoring the mean",
        NoiseSource::kPhilox, LevelStyle::kKDiffusion, "leading", false,
        PromptWeighting::kMeanRestoring, LongPrompt::kChunk},
    Compat{
        "comfyui",
        "noise of torch's CPU generator, even levels from the last timestep to 0 with whole "
        "timesteps, Brownian noise for dpmpp-2m-sde, first noise times sqrt(sigma_max^2 + 1), long "
        "prompts in chunks, weights away from the empty prompt",
        NoiseSource::kTorchCpu, LevelStyle::kComfy, "leading", false, PromptWeighting::kComfyUI,
        LongPrompt::kChunk},
    Compat{
        "compvis",
        "noise of torch's GPU generator (Philox), timesteps spaced leading, ddim and pndm ending "
        "at the first alpha",
        NoiseSource::kPhilox, LevelStyle::kPublicClass, "leading", true},
};

}  // namespace

std::vector<std::string> compat_names() {
  std::vector<std::string> names;
  for (const Compat& row : kCompat) names.emplace_back(row.name);
  return names;
}

const Compat& find_compat(std::string_view name) {
  for (const Compat& row : kCompat) {
    if (name == row.name) return row;
  }
  throw Error::usage(cat("unknown --compat \"", escape_control(name), "\""),
                     did_you_mean(name, compat_names()));
}

const Compat& compat_of(const Request& request) { return find_compat(request.compat); }

}  // namespace ldm
