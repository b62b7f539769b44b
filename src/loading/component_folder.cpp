#include "ldm/loading/component_folder.h"

#include <memory>
#include <utility>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/json.h"
#include "ldm/io/weights_index.h"

namespace ldm {

ComponentFiles open_component_folder(const std::filesystem::path& folder, const std::string& name,
                                     const std::string& what) {
  const std::filesystem::path path = folder / "config.json";
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    throw Error::model(cat(folder.string(), " holds no ", what, ": no config.json"),
                       cat("give a diffusers folder or a file of the ", what));
  }
  nlohmann::json config = read_json_file(path);
  const auto entry = config.is_object() ? config.find("_class_name") : config.end();
  if (!config.is_object() || entry == config.end() || !entry->is_string()) {
    throw Error::model(cat(path.string(), ": no _class_name"));
  }
  std::string class_name = entry->get<std::string>();
  return {name, std::move(class_name), std::move(config), path.string(),
          std::make_shared<WeightFiles>(WeightFiles::open(folder, "diffusion_pytorch_model"))};
}

}  // namespace ldm
