#include "ldm/train/attributes.h"

#include <algorithm>
#include <set>

#include "ldm/core/error.h"

namespace ldm::train {
namespace {

std::int64_t place_of(const std::vector<std::string>& sorted, const std::string& word) {
  const auto found = std::lower_bound(sorted.begin(), sorted.end(), word);
  return found == sorted.end() || *found != word ? -1 : found - sorted.begin();
}

std::string word_of(const nlohmann::json& attributes, const char* key, const std::string& name) {
  const auto found = attributes.find(key);
  if (found != attributes.end() && found->is_string()) return found->get<std::string>();
  throw Error::input(name + ": its metadata has no text \"" + key + "\"",
                     "use a data set of scripts/make_emoji_dataset.py, or one like it");
}

}  // namespace

Attributes attributes_of(const nlohmann::json& attributes, const std::string& name) {
  Attributes found;
  found.object = word_of(attributes, "object", name);
  found.background = word_of(attributes, "background", name);
  const auto count = attributes.find("count");
  if (count == attributes.end()) return found;
  constexpr std::int64_t kMost = 1000;
  if (count->is_number_integer()) found.count = count->get<std::int64_t>();
  if (!count->is_number_integer() || found.count < 1 || found.count > kMost) {
    throw Error::input(name + ": \"count\" is no whole number from 1 to 1000");
  }
  return found;
}

std::int64_t AttributeNames::object_class(const std::string& object) const {
  return place_of(objects, object);
}

std::int64_t AttributeNames::background_class(const std::string& background) const {
  return place_of(backgrounds, background);
}

AttributeNames collect_names(const Dataset& dataset) {
  std::set<std::string> objects;
  std::set<std::string> backgrounds;
  AttributeNames names;
  for (std::int64_t i = 0; i < dataset.size(); ++i) {
    const Example example = dataset.describe(i);
    const Attributes attributes = attributes_of(example.attributes, example.name);
    objects.insert(attributes.object);
    backgrounds.insert(attributes.background);
    names.counts = std::max(names.counts, attributes.count);
  }
  names.objects.assign(objects.begin(), objects.end());
  names.backgrounds.assign(backgrounds.begin(), backgrounds.end());
  return names;
}

std::array<double, 3> border_color(const Image& picture) {
  std::array<std::vector<std::uint8_t>, 3> channels;
  for (int y = 0; y < picture.height; ++y) {
    const bool whole_row = y == 0 || y == picture.height - 1;
    const int step = whole_row ? 1 : std::max(1, picture.width - 1);
    for (int x = 0; x < picture.width; x += step) {
      const std::size_t at =
          3 * (static_cast<std::size_t>(y) * static_cast<std::size_t>(picture.width) +
               static_cast<std::size_t>(x));
      for (std::size_t c = 0; c < 3; ++c) channels[c].push_back(picture.rgb.at(at + c));
    }
  }
  std::array<double, 3> color{};
  for (std::size_t c = 0; c < 3; ++c) {
    const auto middle = channels[c].begin() + static_cast<std::ptrdiff_t>(channels[c].size() / 2);
    std::nth_element(channels[c].begin(), middle, channels[c].end());
    color[c] = *middle;
  }
  return color;
}

}  // namespace ldm::train
