#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "ldm/app/options.h"
#include "ldm/pipeline/request.h"

namespace ldm::app {

/// Longest prompt, in bytes.
inline constexpr std::size_t kMaxPromptBytes = std::size_t{64} << 10U;

/// What a run reads besides the model.
struct Inputs {
  std::string prompt;
  std::string negative_prompt;
  std::shared_ptr<const Image> init_image;
  std::string init_image_sha256;  ///< of the file; empty without one
  std::shared_ptr<const LatentsData> init_latents;
  std::string init_latents_sha256;
};

/// Throws Error::input naming the byte unless `text` is UTF-8 without NUL of at most 64 KiB. `what`
/// is "prompt" or "negative prompt".
void check_prompt(std::string_view text, std::string_view what);

/// The prompt that `--prompt` names: itself, or all of stdin for "-" without one final newline.
std::string read_prompt(const std::string& value);

/// Reads and checks prompts, init image and init latents. Throws Error::input.
Inputs read_inputs(const Options& options);

}  // namespace ldm::app
