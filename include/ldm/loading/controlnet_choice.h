#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace ldm {

struct Components;

/// A ControlNet to steer a model by.
struct ControlNetChoice {
  std::filesystem::path path;
  double scale = 1.0;  ///< of all that it adds to the UNet
};

/// A ControlNet that a model was opened with.
struct ControlNetUse {
  std::string name;  ///< of the file or folder, never a path
  double scale = 1.0;
};

/// Opens ControlNets and adds them to the model; reads no weights. Error::model for weights that do
/// not fit, and for a ControlNet of another family than the model's UNet.
void add_controlnets(Components& components, const std::vector<ControlNetChoice>& choices);

/// Those that it has, in their order.
std::vector<ControlNetUse> controlnets_in_use(const Components& components);

}  // namespace ldm
