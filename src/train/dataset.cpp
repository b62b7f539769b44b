#include "ldm/train/dataset.h"

#include <algorithm>
#include <array>
#include <sstream>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/file.h"
#include "ldm/io/json.h"
#include "ldm/train/dataset_kinds.h"

namespace ldm::train {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxListBytes = std::uint64_t{16} << 20U;

std::vector<fs::path> tar_files(const fs::path& folder) {
  std::vector<fs::path> shards;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const fs::path& path = entry.path();
    if (path.extension() != ".tar" || path.filename().string().starts_with(".")) continue;
    shards.push_back(path);
  }
  std::sort(shards.begin(), shards.end());
  return shards;
}

std::vector<fs::path> listed_shards(const fs::path& list) {
  std::istringstream lines(read_small_file(list, kMaxListBytes));
  std::vector<fs::path> shards;
  std::size_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    const std::string where = cat(list.string(), ":", number);
    const std::string name = clean_caption(line, where);
    if (name.empty()) continue;
    shards.push_back(list.parent_path() / name);
    if (!fs::is_regular_file(shards.back())) {
      throw Error::input(cat(where, ": no shard ", shards.back().string()),
                         "a list names one .tar file a line, relative to the list");
    }
  }
  return shards;
}

std::unique_ptr<Dataset> open_any(const fs::path& path, const DatasetOptions& options) {
  if (fs::is_directory(path)) {
    std::vector<fs::path> shards = tar_files(path);
    if (shards.empty()) return open_picture_folder(path, options);
    return open_shards(std::move(shards), options);
  }
  if (path.extension() == ".tar") return open_shards({path}, options);
  if (path.extension() == ".txt") return open_shards(listed_shards(path), options);
  throw Error::input(path.string() + ": no folder, no .tar shard and no .txt list of shards",
                     "name the folder that the pictures lie in");
}

}  // namespace

bool has_picture_suffix(std::string_view name) {
  const std::size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return false;
  std::string suffix(name.substr(dot + 1));
  std::transform(suffix.begin(), suffix.end(), suffix.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return suffix == "png" || suffix == "jpg" || suffix == "jpeg";
}

std::string clean_caption(std::string_view text, const std::string& where) {
  if (find_invalid_utf8(text) != std::string_view::npos) {
    throw Error::input(cat(where, ": the text is not UTF-8"), "save it as UTF-8");
  }
  constexpr std::string_view kSpace = " \t\r\n";
  const std::size_t begin = std::min(text.find_first_not_of(kSpace), text.size());
  const std::size_t end = text.find_last_not_of(kSpace);
  return end == std::string_view::npos ? std::string()
                                       : std::string(text.substr(begin, end + 1 - begin));
}

void take_metadata(std::string_view text, const std::string& where, Example& example) {
  nlohmann::json object;
  if (const auto fault = try_parse_json(text, {}, object)) {
    throw Error::input(cat(where, ": invalid JSON at byte ", fault->offset, ": ", fault->text));
  }
  if (!object.is_object()) throw Error::input(where + ": expected a JSON object");
  const auto wrong = [&](const char* key, const char* kind) {
    return Error::input(cat(where, ": \"", key, "\" is no ", kind));
  };
  for (const char* key : {"text", "caption"}) {
    const auto found = object.find(key);
    if (found == object.end()) continue;
    if (!found->is_string()) throw wrong(key, "text");
    example.caption = found->get<std::string>();
    object.erase(found);
    break;
  }
  if (const auto label = object.find("class_label"); label != object.end()) {
    if (!label->is_number_integer() || label->get<double>() < 0 || label->get<double>() > 1e9) {
      throw wrong("class_label", "whole number from 0 to 1e9");
    }
    example.class_label = label->get<std::int64_t>();
    object.erase(label);
  }
  object.erase("file_name");
  example.attributes = std::move(object);
}

std::unique_ptr<Dataset> open_dataset(const fs::path& path, const DatasetOptions& options) {
  if (!fs::exists(path)) {
    throw Error::input(path.string() + ": no such data set", "check the path");
  }
  try {
    auto dataset = open_any(path, options);
    if (dataset->size() == 0) {
      throw Error::input(path.string() + ": an empty data set: no PNG or JPEG in it",
                         "name the folder that the pictures or .tar shards lie in");
    }
    return dataset;
  } catch (Error& error) {
    error.with_code(ErrorCode::kInput);
    throw;
  } catch (const fs::filesystem_error& error) {
    throw Error::input(cat(path.string(), ": cannot be listed: ", error.code().message()));
  }
}

}  // namespace ldm::train
