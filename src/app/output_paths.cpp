#include "ldm/app/output_paths.h"

#include <algorithm>
#include <cctype>
#include <set>

#include "ldm/core/text.h"
#include "ldm/io/file.h"

namespace ldm::app {
namespace {

namespace fs = std::filesystem;

bool is_taken(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(fs::symlink_status(path, ignored));
}

std::string zero_padded(std::int64_t number, int digits) {
  std::string text = std::to_string(number);
  const auto width = static_cast<std::size_t>(digits);
  return text.size() < width ? std::string(width - text.size(), '0') + text : text;
}

std::vector<fs::path> numbered(const fs::path& folder, const std::string& stem,
                               const std::string& suffix, std::int64_t count) {
  if (count == 1) return {folder / (stem + suffix)};
  const int digits = std::max(4, static_cast<int>(std::to_string(count).size()));
  std::vector<fs::path> paths;
  for (std::int64_t k = 1; k <= count; ++k) {
    paths.push_back(folder / (stem + "-" + zero_padded(k, digits) + suffix));
  }
  return paths;
}

std::vector<fs::path> next_free(const fs::path& folder, const OutputRequest& request) {
  const std::string stem = cat("ldm-", request.seed);
  for (int attempt = 1;; ++attempt) {
    const std::string name = attempt == 1 ? stem : cat(stem, "-", attempt);
    std::vector<fs::path> paths = numbered(folder, name, ".png", request.num_images);
    if (request.overwrite || std::none_of(paths.begin(), paths.end(), is_taken)) return paths;
  }
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

void check_suffix(const fs::path& file) {
  constexpr const char* kOthers[] = {".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"};
  const std::string suffix = lower(file.extension().string());
  if (std::find(std::begin(kOthers), std::end(kOthers), suffix) == std::end(kOthers)) return;
  fs::path png = file;
  throw Error::usage(cat("--output: ", file.string(), ": pictures are written as PNG"),
                     cat("use ", png.replace_extension(".png").string()));
}

}  // namespace

std::vector<fs::path> resolve_output_paths(const OutputRequest& request) {
  if (!request.output) return next_free({}, request);
  const std::string& output = *request.output;
  if (output.empty()) throw Error::usage("--output: the path is empty");
  if (output.find('\0') != std::string::npos) throw Error::usage("--output: NUL in the path");
  const fs::path path = output;
  std::error_code ignored;
  if (output.ends_with('/') || fs::is_directory(path, ignored)) return next_free(path, request);
  check_suffix(path);
  const std::string suffix =
      lower(path.extension().string()) == ".png" ? path.extension().string() : "";
  const std::string name = path.filename().string();
  const std::string stem = name.substr(0, name.size() - suffix.size());
  return numbered(path.parent_path(), stem, suffix, request.num_images);
}

void check_output_folders(const std::vector<fs::path>& paths) {
  std::set<fs::path> folders;
  for (const fs::path& path : paths) {
    std::error_code ignored;
    if (fs::is_directory(path, ignored)) {
      throw Error::output(cat(path.string(), ": is a folder"), "name a file");
    }
    folders.insert(path.parent_path());
  }
  for (const fs::path& folder : folders) check_output_folder(folder);
}

Error holds_something_else(const fs::path& first, std::size_t count, std::string_view other) {
  return Error::output(cat(first.string(), ": exists and holds something else",
                           count > 1 ? cat(" (and ", count - 1, " more)") : ""),
                       cat("--overwrite replaces it; or name another ", other));
}

bool check_existing(const std::vector<fs::path>& paths,
                    const std::function<bool(std::size_t index)>& is_same) {
  std::vector<fs::path> different;
  bool any = false;
  for (std::size_t i = 0; i < paths.size(); ++i) {
    if (!is_taken(paths[i])) continue;
    any = true;
    if (!is_same(i)) different.push_back(paths[i]);
  }
  if (!different.empty()) {
    throw holds_something_else(different.front(), different.size(), "file with --output");
  }
  return any;
}

}  // namespace ldm::app
