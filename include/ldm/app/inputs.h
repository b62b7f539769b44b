#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ldm/app/option_values.h"
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
  std::shared_ptr<const Image> mask;
  std::shared_ptr<const Image> depth;
  std::string init_image_sha256;  ///< of the file; empty without one
  std::string mask_sha256;
  std::string depth_sha256;
  std::vector<std::shared_ptr<const Image>> control_images;
  std::vector<std::string> control_image_sha256;  ///< of the files
  std::shared_ptr<const LatentsData> init_latents;
  std::string init_latents_sha256;
};

/// What is wrong with the bytes of a prompt: "byte 5: invalid UTF-8".
std::optional<Problem> prompt_problem(std::string_view text);

/// Throws Error::input naming the byte unless `text` is UTF-8 without NUL of at most 64 KiB. `what`
/// is "prompt" or "negative prompt".
void check_prompt(std::string_view text, std::string_view what);

/// Whether the prompts have the syntax of `WeightedPrompt`.
bool is_weighted(const Options& options);

/// Throws Error::input pointing at the character where a prompt's syntax is wrong.
void check_prompt_syntax(const Options& options, std::string_view prompt,
                         std::string_view negative_prompt);

/// The prompt that `--prompt` names: itself, or all of stdin for "-" without one final newline.
std::string read_prompt(const std::string& value);

/// A picture and its file's SHA-256 from `path`, where there is one. Throws Error::input.
void read_picture(const std::optional<std::string>& path, std::shared_ptr<const Image>& picture,
                  std::string& sha256);

/// The tensor `latents` of a safetensors file. Throws Error::input.
std::shared_ptr<const LatentsData> read_latents(const std::string& path);

/// Latents number `k` of several as [1, C, h, w]. Throws Error::input when there are fewer.
std::shared_ptr<const LatentsData> one_of_latents(const LatentsData& all, std::int64_t k);

/// Reads and checks prompts, init image and init latents. Throws Error::input.
Inputs read_inputs(const Options& options);

}  // namespace ldm::app
