#pragma once

#include <filesystem>
#include <string>

#include "ldm/loading/model_files.h"

namespace ldm {

/// A diffusers folder of one component by itself: config.json and its weights. `name` is the
/// component's, `what` says in messages what was expected ("autoencoder"). Error::model.
ComponentFiles open_component_folder(const std::filesystem::path& folder, const std::string& name,
                                     const std::string& what);

}  // namespace ldm
