#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "ldm/train/dataset.h"

namespace ldm::train {

/// What a composed picture shows.
struct Attributes {
  std::string object;
  std::string background;
  std::int64_t count = 1;
};

/// Reads `object`, `background` and `count` of an example's attributes (count 1 where there is
/// none). Error::input naming the picture when one is missing or of the wrong kind.
Attributes attributes_of(const nlohmann::json& attributes, const std::string& name);

/// The words of a data set, sorted; a class is a word's place.
struct AttributeNames {
  std::vector<std::string> objects;
  std::vector<std::string> backgrounds;
  std::int64_t counts = 1;  ///< the most copies

  /// The class of a word, or -1.
  std::int64_t object_class(const std::string& object) const;
  std::int64_t background_class(const std::string& background) const;
};

/// All words of a data set; reads no picture.
AttributeNames collect_names(const Dataset& dataset);

/// The median colour of a picture's outermost pixels, each channel for itself, in 0 … 255.
std::array<double, 3> border_color(const Image& picture);

}  // namespace ldm::train
