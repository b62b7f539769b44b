#include "ldm/loading/prediction_type.h"

#include <cmath>
#include <cstring>
#include <optional>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/convert.h"
#include "ldm/io/file.h"
#include "ldm/io/json.h"
#include "ldm/io/torch_checkpoint.h"

namespace ldm {
namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 20U;

/// The word after `key:` in a YAML text, quotes taken off; empty when there is none.
std::string yaml_word(const std::string& text, std::string_view key) {
  const std::size_t at = text.find(cat(key, ':'));
  if (at == std::string::npos) return {};
  const std::size_t end = text.find_first_of("\n#", at);
  std::string word =
      text.substr(at + key.size() + 1,
                  end == std::string::npos ? std::string::npos : end - at - key.size() - 1);
  std::erase_if(word, [](char c) { return c == '"' || c == '\'' || c == ' ' || c == '\r'; });
  return word;
}

/// The original configs' and metadata's words as diffusers', or empty.
std::string as_type(const std::string& word) {
  if (word == "v" || word == "v_prediction") return "v_prediction";
  if (word == "eps" || word == "epsilon") return "epsilon";
  if (word == "x0" || word == "sample") return "sample";
  return {};
}

std::optional<std::string> read_beside(const fs::path& path) {
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return std::nullopt;
  return read_small_file(path, kMostBytes);
}

PredictionType from_yaml(const fs::path& path) {
  const auto text = read_beside(path);
  if (!text) return {};
  std::string type = as_type(yaml_word(*text, "parameterization"));
  // The original code's default.
  if (type.empty() && text->find("ldm.models.diffusion.") != std::string::npos) type = "epsilon";
  return {type, path.filename().string() + " beside the file"};
}

PredictionType from_json(const fs::path& path) {
  const auto text = read_beside(path);
  if (!text) return {};
  nlohmann::json json;
  if (try_parse_json(*text, {}, json) || !json.is_object()) return {};
  for (const char* key : {"prediction_type", "parameterization"}) {
    const auto found = json.find(key);
    if (found == json.end() || !found->is_string()) continue;
    return {as_type(found->get<std::string>()), path.filename().string() + " beside the file"};
  }
  return {};
}

PredictionType from_metadata(const TensorSource& source) {
  const auto found = source.metadata().find("modelspec.prediction_type");
  if (found == source.metadata().end()) return {};
  return {as_type(found->second), "the file's modelspec.prediction_type"};
}

/// The tensor of the last output block that has a transformer.
std::string telling_tensor(const LayoutKeys& unet) {
  for (std::size_t i = count_blocks(unet, "output_blocks"); i > 0; --i) {
    const auto found =
        unet.find(cat("output_blocks.", i - 1, ".1.transformer_blocks.0.norm1.bias"));
    if (found != unet.end()) return found->second;
  }
  return {};
}

double standard_deviation(const std::vector<float>& values) {
  if (values.size() < 2) return 0;
  double mean = 0;
  for (const float value : values) mean += value;
  mean /= static_cast<double>(values.size());
  double sum = 0;
  for (const float value : values) sum += (value - mean) * (value - mean);
  return std::sqrt(sum / static_cast<double>(values.size() - 1));
}

bool is_published_epsilon_step(const TensorSource& source) {
  constexpr std::int64_t kStep = 875000;
  if (const auto* checkpoint = dynamic_cast<const TorchCheckpoint*>(&source)) {
    return checkpoint->integer("global_step") == kStep;
  }
  const TensorInfo* info = source.find("global_step");
  if (info == nullptr || info->dtype != DType::I64 || info->byte_size() != sizeof(std::int64_t)) {
    return false;
  }
  std::int64_t step = 0;
  source.read("global_step", std::as_writable_bytes(std::span(&step, 1)));
  return step == kStep;
}

}  // namespace

PredictionType stated_prediction_type(const fs::path& file, const std::string& asked_for,
                                      const TensorSource& source) {
  if (!asked_for.empty()) return {asked_for, "--prediction-type"};
  fs::path yaml = file;
  fs::path json = file;
  const PredictionType candidates[] = {
      from_yaml(yaml.replace_extension(".yaml")), from_json(json.replace_extension(".json")),
      from_json(file.parent_path() / "scheduler_config.json"), from_metadata(source)};
  for (const PredictionType& candidate : candidates) {
    if (!candidate.type.empty()) return candidate;
  }
  return {};
}

PredictionType guessed_prediction_type(const TensorSource& source, const LayoutKeys& unet) {
  if (is_published_epsilon_step(source)) {
    return {"epsilon", "a guess: global_step 875000 is the published base model's"};
  }
  constexpr double kThreshold = 0.09;
  const std::string name = telling_tensor(unet);
  if (name.empty()) return {"epsilon", "a guess: nothing says anything"};
  const double spread = standard_deviation(read_floats(source, name));
  return {spread > kThreshold ? "v_prediction" : "epsilon",
          cat("a guess: the spread of ", name, " is ", spread,
              spread > kThreshold ? ", above 0.09" : ", not above 0.09")};
}

}  // namespace ldm
