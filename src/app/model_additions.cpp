#include <algorithm>
#include <array>
#include <filesystem>
#include <system_error>
#include <utility>

#include "ldm/app/inputs.h"
#include "ldm/app/option_values.h"
#include "ldm/app/resolve.h"
#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/text/prompt_syntax.h"

namespace ldm::app {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 4> kEndings = {".safetensors", ".ckpt", ".pt", ".bin"};

bool exists(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

/// FILE or FILE:NUMBER; a file that has such a name is meant first.
std::pair<fs::path, double> file_and_scale(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  if (colon != std::string::npos && !exists(text)) {
    if (const auto scale = parse_real(std::string_view(text).substr(colon + 1))) {
      return {text.substr(0, colon), *scale};
    }
  }
  return {text, 1.0};
}

/// "FILE:MORE" → both; no more where a file of that whole name is there, or there is no colon.
std::pair<std::string, std::string> split_file(const std::string& text) {
  if (exists(text)) return {text, {}};
  for (std::size_t colon = text.rfind(':'); colon != std::string::npos && colon > 0;
       colon = text.rfind(':', colon - 1)) {
    if (exists(text.substr(0, colon))) return {text.substr(0, colon), text.substr(colon + 1)};
  }
  return {text, {}};
}

/// The names that a prompt may use.
std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string ending = entry.path().extension().string();
    if (std::find(kEndings.begin(), kEndings.end(), ending) != kEndings.end()) {
      names.push_back(entry.path().stem().string());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

fs::path find_lora(const LoraTag& tag, const Options& options, std::string_view prompt) {
  const auto fail = [&](const std::string& what, std::string hint) {
    throw prompt_fault(prompt, "prompt", tag.at, what, std::move(hint));
  };
  // A prompt may come from anywhere: it names files of one folder only.
  if (tag.name.find_first_of("/\\") != std::string::npos || tag.name.starts_with('.')) {
    fail("a LoRA's name is no path", "--lora FILE takes any file");
  }
  if (!options.lora_dir) {
    fail(cat("where the LoRA \"", tag.name, "\" is was not said"), "add --lora-dir DIR");
  }
  for (const std::string_view ending : kEndings) {
    const fs::path path = fs::path(*options.lora_dir) / cat(tag.name, ending);
    std::error_code ignored;
    if (fs::is_regular_file(path, ignored)) return path;
  }
  const std::vector<std::string> known = names_in(*options.lora_dir);
  fail(cat("there is no LoRA \"", tag.name, "\" in ", *options.lora_dir),
       known.empty() ? "it holds none" : did_you_mean(tag.name, known));
  return {};
}

}  // namespace

LoraRequest make_lora_request(const Options& options, std::string_view prompt) {
  LoraRequest request;
  request.partial = options.lora_partial.value_or(false);
  for (const std::string& text : options.lora.value_or(std::vector<std::string>())) {
    auto [file, scale] = file_and_scale(text);
    request.files.push_back({std::move(file), scale});
  }
  if (!is_weighted(options)) return request;
  const auto parsed = WeightedPrompt::parse(prompt, PromptRole::kPrompt);
  for (const LoraTag& tag : parsed.loras()) {
    request.files.push_back({find_lora(tag, options, prompt), tag.weight, true});
  }
  return request;
}

std::vector<EmbeddingChoice> make_embedding_choices(const Options& options) {
  std::vector<EmbeddingChoice> choices;
  for (const std::string& text : options.embedding.value_or(std::vector<std::string>())) {
    const auto [file, word] = split_file(text);
    choices.push_back({file, word});
  }
  return choices;
}

std::vector<ControlNetChoice> make_controlnet_choices(const Options& options) {
  std::vector<ControlNetChoice> choices;
  for (const std::string& text : options.controlnet.value_or(std::vector<std::string>())) {
    auto [path, scale] = file_and_scale(text);
    choices.push_back({std::move(path), scale});
  }
  return choices;
}

}  // namespace ldm::app
