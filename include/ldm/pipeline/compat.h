#pragma once

#include <string_view>
#include <vector>

#include "ldm/pipeline/request.h"

namespace ldm {

enum class NoiseSource;

/// What one other program does otherwise, in the words of a request.
struct Compat {
  std::string_view name;
  std::string_view what;  ///< one line for people: what it sets
  NoiseSource noise;
  LevelStyle style;
  std::string_view spacing;  ///< in place of the model's timestep_spacing, where not empty
  bool ends_at_first_alpha;  ///< the last step of ddim and pndm ends at ᾱ_0
  /// What weights do and long prompts meet, unless the request's author says.
  PromptWeighting weighting = PromptWeighting::kMeanRestoring;
  LongPrompt long_prompt = LongPrompt::kTruncate;
};

/// The programs that --compat names, "diffusers" first.
std::vector<std::string> compat_names();

/// What a name sets. Throws Error::usage for one that is not known.
const Compat& find_compat(std::string_view name);

/// What request.compat sets. Throws as `find_compat`.
const Compat& compat_of(const Request& request);

}  // namespace ldm
