#pragma once

#include <filesystem>
#include <string>

#include "ldm/loading/controlnet_choice.h"
#include "ldm/loading/lazy_module.h"
#include "ldm/loading/model_files.h"
#include "ldm/models/controlnet.h"

namespace ldm {

/// A ControlNet beside a model; stays where it is.
struct ControlNetPart {
  ControlNetPart(ComponentFiles component, const ControlNetChoice& choice,
                 const Execution& execution, const LoadContext& loading);

  ComponentFiles files;
  std::string display_name;  ///< of the file or folder, never a path
  double scale = 1.0;
  Lazy<models::ControlNetModelImpl> net;
};

/// Opens a ControlNet for the UNet that `unet` describes: a diffusers folder, or a file of
/// diffusers' or of the original layout (`control_model.…`, with or without the prefix), which has
/// the UNet's own configuration. Error::model for anything else.
ComponentFiles open_controlnet(const std::filesystem::path& path, const ComponentFiles& unet);

}  // namespace ldm
