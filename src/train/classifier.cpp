#include "ldm/train/classifier.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/stack.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <limits>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/fields.h"
#include "ldm/io/json.h"
#include "ldm/io/open_tensors.h"
#include "ldm/io/safetensors.h"
#include "ldm/loading/load_module.h"
#include "ldm/train/batch_loader.h"

namespace ldm::train {
namespace {

constexpr const char* kFormat = "ldm-attribute-classifier-1";

/// A value that lists its fields for `read_fields`.
struct Description {
  models::AttributeClassifierConfig config;
  AttributeNames names;
  AttributeAccuracy accuracy;
  std::vector<std::vector<double>> colors;

  template <class V>
  void visit(V&& v) {
    config.visit(v);
    v("object_names", names.objects);
    v("background_names", names.backgrounds);
    v("background_colors", colors);
    v("object_accuracy", accuracy.object);
    v("background_accuracy", accuracy.background);
    v("border_accuracy", accuracy.border);
    v("count_accuracy", accuracy.count);
    v("accuracy_pictures", accuracy.pictures);
  }
};

std::size_t nearest_color(const std::vector<std::array<double, 3>>& colors,
                          const std::array<double, 3>& color) {
  std::size_t best = 0;
  double least = std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < colors.size(); ++i) {
    double distance = 0;
    for (std::size_t c = 0; c < 3; ++c) {
      distance += (colors[i][c] - color[c]) * (colors[i][c] - color[c]);
    }
    if (distance >= least) continue;
    least = distance;
    best = i;
  }
  return best;
}

void check_description(const Description& found, const std::string& file) {
  const auto require = [&](bool fine, const char* what) {
    if (!fine) throw Error::model(cat(file, ": ", what), "train the classifier again");
  };
  const auto& config = found.config;
  require(static_cast<std::int64_t>(found.names.objects.size()) == config.objects &&
              static_cast<std::int64_t>(found.names.backgrounds.size()) == config.backgrounds &&
              found.colors.size() == found.names.backgrounds.size(),
          "the numbers of names do not fit the network");
  require(std::is_sorted(found.names.objects.begin(), found.names.objects.end()) &&
              std::is_sorted(found.names.backgrounds.begin(), found.names.backgrounds.end()),
          "the names are not sorted");
  for (const auto& color : found.colors) require(color.size() == 3, "a colour is not of 3 numbers");
}

}  // namespace

std::vector<AttributeGuess> Classifier::classify(std::span<const Image> pictures) const {
  const c10::AutoGradMode no_grad(false);
  if (pictures.empty()) return {};
  const PictureOptions options{network->config.picture_size, Crop::kNone, false};
  std::vector<at::Tensor> fitted;
  for (const Image& picture : pictures) {
    fitted.push_back(picture_tensor(fit_picture(picture, options, 0, 0)));
  }
  const models::AttributeLogits logits = network->forward(at::stack(fitted));
  const auto [chance, object] = at::softmax(logits.object, 1).max(1);
  const at::Tensor background = logits.background.argmax(1);
  const at::Tensor count = logits.count.argmax(1);
  std::vector<AttributeGuess> guesses;
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    const auto row = static_cast<std::int64_t>(i);
    const auto class_of = [row](const at::Tensor& classes) {
      return static_cast<std::size_t>(classes[row].item<std::int64_t>());
    };
    AttributeGuess guess;
    guess.attributes.object = names.objects[class_of(object)];
    guess.attributes.background = names.backgrounds[class_of(background)];
    guess.attributes.count = count[row].item<std::int64_t>() + 1;
    guess.object_probability = chance[row].item<double>();
    guess.border_background =
        names.backgrounds[nearest_color(background_colors, border_color(pictures[i]))];
    guesses.push_back(std::move(guess));
  }
  return guesses;
}

void save_classifier(const std::filesystem::path& path, const Classifier& classifier,
                     IfExists if_exists) {
  Description description{classifier.network->config, classifier.names, classifier.accuracy, {}};
  for (const auto& color : classifier.background_colors) {
    description.colors.push_back({color.begin(), color.end()});
  }
  std::vector<at::Tensor> values;
  std::vector<TensorData> tensors;
  for (const auto& item : classifier.network->named_parameters()) {
    values.push_back(item.value().detach().cpu().contiguous());
    const auto* bytes = static_cast<const std::byte*>(values.back().const_data_ptr());
    tensors.push_back({item.key(), DType::F32, values.back().sizes().vec(),
                       std::span(bytes, values.back().nbytes())});
  }
  write_safetensors(path, tensors,
                    {{"format", kFormat}, {"classifier", write_fields(description).dump()}},
                    if_exists);
}

Classifier load_classifier(const std::filesystem::path& path) {
  const auto source = open_tensors(path);
  const auto& metadata = source->metadata();
  const auto format = metadata.find("format");
  const auto text = metadata.find("classifier");
  if (format == metadata.end() || format->second != kFormat || text == metadata.end()) {
    throw Error::model(path.string() + ": no attribute classifier",
                       "make one with ldm-eval train-classifier");
  }
  constexpr JsonLimits kLimits{std::size_t{16} << 20U, 8};
  Description description;
  read_fields(parse_json(text->second, kLimits, path.string()), description, path.string());
  check_description(description, path.string());
  Classifier classifier;
  classifier.network = models::AttributeClassifier(description.config);
  classifier.names = std::move(description.names);
  classifier.names.counts = description.config.counts;
  classifier.accuracy = description.accuracy;
  for (const auto& color : description.colors) {
    classifier.background_colors.push_back({color[0], color[1], color[2]});
  }
  const WeightBinding binding = bind_weights(*classifier.network, *source, KeyMap{});
  if (!binding.complete()) {
    throw Error::model(path.string() + ": " + binding.problems("classifier"));
  }
  load_weights(*source, binding, Execution{});
  return classifier;
}

}  // namespace ldm::train
