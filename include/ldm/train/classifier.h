#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "ldm/io/file.h"
#include "ldm/models/attribute_classifier.h"
#include "ldm/train/attributes.h"

namespace ldm::train {

/// Parts of all pictures that were named rightly, each 0 … 1.
struct AttributeAccuracy {
  double object = 0;
  double background = 0;
  double border = 0;  ///< the background by the colour of the picture's border
  double count = 0;
  std::int64_t pictures = 0;
};

/// What a classifier says of a picture.
struct AttributeGuess {
  Attributes attributes;
  double object_probability = 0;
  std::string border_background;  ///< the background whose colour is nearest to the border's
};

/// A trained network and what its classes mean.
struct Classifier {
  models::AttributeClassifier network{nullptr};
  AttributeNames names;
  std::vector<std::array<double, 3>> background_colors;  ///< of each background, 0 … 255
  AttributeAccuracy accuracy;                            ///< on pictures it was not trained on

  /// Names what pictures of any shape show. Runs without gradients.
  std::vector<AttributeGuess> classify(std::span<const Image> pictures) const;
};

/// Writes one safetensors file; config, words, colours and accuracy are in its metadata.
/// Error::output.
void save_classifier(const std::filesystem::path& path, const Classifier& classifier,
                     IfExists if_exists);

/// Reads such a file; Error::model for any other.
Classifier load_classifier(const std::filesystem::path& path);

}  // namespace ldm::train
