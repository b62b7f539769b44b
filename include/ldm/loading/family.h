#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace ldm {

/// Which family of models this is and the facts that say so.
struct Family {
  std::string name;  ///< "Stable Diffusion 1.x", …
  std::vector<std::string> evidence;
};

/// Names a model's family from its configs. For people only: nothing is computed by it.
Family recognise_family(const nlohmann::json& unet_config, const nlohmann::json& text_config,
                        const nlohmann::json& scheduler_config);

}  // namespace ldm
