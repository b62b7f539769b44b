#include "ldm/app/inputs.h"

#include <array>
#include <span>

#include "ldm/app/line_reader.h"
#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/file.h"
#include "ldm/io/hash.h"
#include "ldm/io/image.h"
#include "ldm/io/safetensors.h"

namespace ldm::app {
namespace {

std::string read_stdin(std::size_t most) {
  std::string text;
  std::array<char, 4096> buffer{};
  while (text.size() <= most) {
    const std::size_t got = read_standard_input(buffer);
    if (got == 0) break;
    text.append(buffer.data(), got);
  }
  return text;
}

std::shared_ptr<const LatentsData> parse_latents(const std::string& path) {
  const SafetensorsFile file(path);
  const TensorInfo* info = file.find("latents");
  if (info == nullptr) {
    throw Error::input(cat(path, ": no tensor \"latents\""), "--save-latents writes such a file");
  }
  if (info->dtype != DType::F32 || info->shape.size() != 4 || info->byte_size() == 0) {
    throw Error::input(
        cat(path, ": \"latents\" must be F32 [N, C, h, w], found ", describe(*info)));
  }
  auto latents = std::make_shared<LatentsData>();
  latents->shape = info->shape;
  latents->values.resize(info->byte_size() / sizeof(float));
  const auto bytes = std::as_writable_bytes(std::span(latents->values));
  file.read(*info, bytes);
  const std::size_t bad = count_non_finite(DType::F32, bytes);
  if (bad > 0) {
    throw Error::input(cat(path, ": \"latents\" has ", bad, " values that are NaN or infinite"));
  }
  return latents;
}

/// Readers below speak of models; a file that the user passed in is an input.
template <typename Read>
auto as_input(Read&& read) {
  try {
    return read();
  } catch (Error& error) {
    if (error.code() != ErrorCode::kModel) throw;
    throw error.with_code(ErrorCode::kInput);
  }
}

}  // namespace

std::optional<Problem> prompt_problem(std::string_view text) {
  if (text.size() > kMaxPromptBytes) {
    return Problem{cat("longer than ", kMaxPromptBytes, " bytes"), {}};
  }
  const std::size_t nul = text.find('\0');
  if (nul != std::string_view::npos) return Problem{cat("byte ", nul, ": NUL"), {}};
  const std::size_t bad = find_invalid_utf8(text);
  if (bad == std::string_view::npos) return std::nullopt;
  return Problem{cat("byte ", bad, ": invalid UTF-8"), "prompts are UTF-8 text"};
}

void check_prompt(std::string_view text, std::string_view what) {
  const std::optional<Problem> problem = prompt_problem(text);
  if (problem) throw Error::input(cat(what, ": ", problem->message), problem->hint);
}

bool is_weighted(const Options& options) { return options.prompt_syntax == "weighted"; }

void check_prompt_syntax(const Options& options, std::string_view prompt,
                         std::string_view negative_prompt) {
  if (!is_weighted(options)) return;
  WeightedPrompt::parse(prompt, PromptRole::kPrompt);
  WeightedPrompt::parse(negative_prompt, PromptRole::kNegative);
}

std::string read_prompt(const std::string& value) {
  if (value != "-") return value;
  std::string text = read_stdin(kMaxPromptBytes);
  if (text.ends_with("\r\n")) text.pop_back();
  if (text.ends_with('\n') || text.ends_with('\r')) text.pop_back();
  return text;
}

void read_picture(const std::optional<std::string>& path, std::shared_ptr<const Image>& picture,
                  std::string& sha256) {
  if (!path) return;
  const std::string bytes = as_input([&] { return read_small_file(*path, kMaxImageBytes); });
  const auto view = std::as_bytes(std::span(bytes));
  picture = std::make_shared<Image>(decode_image(view, *path));
  sha256 = sha256_hex(view);
}

std::shared_ptr<const LatentsData> read_latents(const std::string& path) {
  return as_input([&] { return parse_latents(path); });
}

std::shared_ptr<const LatentsData> one_of_latents(const LatentsData& all, std::int64_t k) {
  const std::int64_t count = all.shape.at(0);
  if (k < 0 || k >= count) {
    throw Error::input(cat("--init-latents hold ", count, " latents, image ", k + 1, " has none"));
  }
  const std::size_t size = all.values.size() / static_cast<std::size_t>(count);
  const auto first = all.values.begin() + k * static_cast<std::ptrdiff_t>(size);
  auto one = std::make_shared<LatentsData>();
  one->shape = all.shape;
  one->shape[0] = 1;
  one->values.assign(first, first + static_cast<std::ptrdiff_t>(size));
  return one;
}

Inputs read_inputs(const Options& options) {
  Inputs inputs;
  inputs.prompt = read_prompt(options.prompt.value_or(""));
  inputs.negative_prompt = options.negative_prompt.value_or("");
  check_prompt(inputs.prompt, "prompt");
  check_prompt(inputs.negative_prompt, "negative prompt");
  check_prompt_syntax(options, inputs.prompt, inputs.negative_prompt);
  read_picture(options.init_image, inputs.init_image, inputs.init_image_sha256);
  read_picture(options.mask, inputs.mask, inputs.mask_sha256);
  read_picture(options.depth, inputs.depth, inputs.depth_sha256);
  for (const std::string& path : options.control_image.value_or(std::vector<std::string>())) {
    read_picture(path, inputs.control_images.emplace_back(),
                 inputs.control_image_sha256.emplace_back());
  }
  if (options.init_latents) {
    inputs.init_latents = read_latents(*options.init_latents);
    inputs.init_latents_sha256 = as_input([&] { return sha256_file(*options.init_latents); });
  }
  return inputs;
}

}  // namespace ldm::app
