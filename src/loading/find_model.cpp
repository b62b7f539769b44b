#include <filesystem>
#include <string>
#include <vector>

#include "ldm/core/environment.h"
#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/file.h"
#include "ldm/loading/data_files.h"
#include "ldm/loading/model_files.h"

namespace ldm {
namespace fs = std::filesystem;

namespace {

/// Where huggingface_hub keeps its files: $HF_HUB_CACHE, $HF_HOME/hub, ~/.cache/huggingface/hub.
fs::path hub_cache() {
  if (const std::string cache = environment("HF_HUB_CACHE"); !cache.empty()) return cache;
  if (const std::string home = environment("HF_HOME"); !home.empty()) return fs::path(home) / "hub";
  return fs::path(environment("HOME")) / ".cache" / "huggingface" / "hub";
}

/// The revision that refs/main names; only the characters of a commit or branch name.
std::string main_revision(const fs::path& repository) {
  std::string revision = read_small_file(repository / "refs" / "main", 256);
  while (!revision.empty() && revision.back() == '\n') revision.pop_back();
  const bool plain = !revision.empty() && revision.find('/') == std::string::npos &&
                     revision.find('\0') == std::string::npos && revision[0] != '.';
  if (!plain) {
    throw Error::model(cat((repository / "refs" / "main").string(), ": not a revision name"));
  }
  return revision;
}

}  // namespace

bool is_repository_name(const std::string& model) {
  const std::size_t slash = model.find('/');
  if (slash == std::string::npos || slash == 0 || slash + 1 == model.size()) return false;
  return model.find('/', slash + 1) == std::string::npos && model[0] != '.' && model[0] != '~';
}

fs::path find_model(const std::string& model) {
  std::error_code error;
  if (fs::exists(model, error) || !is_repository_name(model)) return model;
  std::string folder = "models--" + model;
  folder.replace(folder.find('/'), 1, "--");
  const fs::path repository = hub_cache() / folder;
  if (!fs::exists(repository / "refs" / "main", error)) {
    throw Error::model(
        cat("no model at ", model, ", and none in the Hugging Face cache at ", repository.string()),
        "ldm-gen never downloads; get it with: hf download " + model);
  }
  return repository / "snapshots" / main_revision(repository);
}

fs::path find_data(const std::string& relative) {
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  std::vector<fs::path> candidates = {program.parent_path().parent_path() / "share" / "ldm-gen" /
                                      relative};
  // A build folder lies somewhere below the source tree.
  for (fs::path above = program.parent_path(); above.has_relative_path();
       above = above.parent_path()) {
    candidates.push_back(above / relative);
  }
  candidates.emplace_back(fs::path(LDM_SOURCE_DIR) / relative);
  for (const fs::path& candidate : candidates) {
    if (fs::exists(candidate, error)) return candidate;
  }
  return {};
}

fs::path default_model() {
  const fs::path index = find_data("weights/default/model_index.json");
  if (!index.empty()) return index.parent_path();
  throw Error::model("the built-in model was not found beside the program",
                     "name a model with --model");
}

}  // namespace ldm
