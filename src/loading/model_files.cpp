#include "ldm/loading/model_files.h"

#include <utility>

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

ComponentFiles& ModelFiles::component(const std::string& name) {
  return const_cast<ComponentFiles&>(std::as_const(*this).component(name));
}

std::int64_t stored_parameters(const ComponentFiles& files) {
  std::int64_t count = 0;
  for (const std::string& name : files.weights->names()) {
    std::int64_t elements = 1;
    for (const std::int64_t dim : files.weights->find(name)->shape) elements *= dim;
    count += elements;
  }
  return count;
}

ModelFiles open_model(const std::filesystem::path& path, const std::string& prediction_type) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return open_model_folder(path);
  return open_single_file(path, SingleFileOptions{prediction_type, std::nullopt});
}

}  // namespace ldm
