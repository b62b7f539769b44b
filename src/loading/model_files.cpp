#include "ldm/loading/model_files.h"

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/loading/single_file.h"

namespace ldm {

const ComponentFiles* ModelFiles::find(const std::string& name) const {
  for (const ComponentFiles& files : components) {
    if (files.name == name) return &files;
  }
  return nullptr;
}

const ComponentFiles& ModelFiles::component(const std::string& name) const {
  if (const ComponentFiles* files = find(name)) return *files;
  throw Error::internal(cat("no component ", name));
}

ModelFiles open_model(const std::filesystem::path& path) {
  std::error_code error;
  if (std::filesystem::is_regular_file(path, error)) {
    return open_single_file(path);
  }
  return open_model_folder(path);
}

}  // namespace ldm
