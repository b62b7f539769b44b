#include <algorithm>
#include <set>
#include <utility>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/file.h"
#include "ldm/io/json.h"
#include "ldm/train/dataset_kinds.h"

namespace ldm::train {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxMetadataBytes = std::uint64_t{1} << 30U;
constexpr std::uint64_t kMaxCaptionBytes = std::uint64_t{1} << 20U;

struct Item {
  std::string file;  // relative to the folder
  std::string text;  // its metadata line, or its caption
};

class FolderDataset final : public Dataset {
 public:
  FolderDataset(fs::path folder, std::vector<Item> items, fs::path metadata)
      : folder_(std::move(folder)), items_(std::move(items)), metadata_(std::move(metadata)) {
    std::sort(items_.begin(), items_.end(),
              [](const Item& a, const Item& b) { return a.file < b.file; });
  }

  std::int64_t size() const override { return static_cast<std::int64_t>(items_.size()); }

  std::string name(std::int64_t index) const override {
    return (folder_ / item(index).file).string();
  }

  Example describe(std::int64_t index) const override {
    Example example;
    example.name = name(index);
    example.attributes = nlohmann::json::object();
    if (metadata_.empty()) {
      example.caption = item(index).text;
    } else {
      take_metadata(item(index).text, example.name, example);
    }
    return example;
  }

  Example read(std::int64_t index) const override {
    Example example = describe(index);
    example.picture = load_image(folder_ / item(index).file);
    return example;
  }

 private:
  const Item& item(std::int64_t index) const { return items_.at(static_cast<std::size_t>(index)); }

  fs::path folder_;
  std::vector<Item> items_;
  fs::path metadata_;
};

/// The metadata file at the folder's top, or an empty path.
fs::path find_metadata(const fs::path& folder) {
  fs::path found;
  for (const char* name : {"metadata.jsonl", "captions.jsonl"}) {
    if (!fs::is_regular_file(folder / name)) continue;
    if (!found.empty()) {
      throw Error::input(cat(folder.string(), ": both metadata.jsonl and captions.jsonl"),
                         "keep one of them");
    }
    found = folder / name;
  }
  return found;
}

/// The picture that a metadata line names, relative to the folder.
std::string file_of(const nlohmann::json& object, const std::string& where) {
  const auto found = object.find("file_name");
  if (found == object.end() || !found->is_string()) {
    throw Error::input(where + ": no \"file_name\" that is text",
                       R"(a line reads {"file_name": "a.png", "text": "a red apple"})");
  }
  const fs::path path = fs::path(found->get<std::string>()).lexically_normal();
  if (path.empty() || path.is_absolute() || *path.begin() == "..") {
    throw Error::input(cat(where, ": \"", path.string(), "\" lies outside the folder"),
                       "name pictures relative to the folder");
  }
  return path.generic_string();
}

void check_line(std::string_view line, const std::string& where, const DatasetOptions& options) {
  Example example;
  take_metadata(line, where, example);
  if (options.captions && example.caption.empty()) {
    throw Error::input(where + R"(: neither "text" nor "caption")",
                       "every picture needs a caption");
  }
  if (options.class_labels && !example.class_label) {
    throw Error::input(where + R"(: no "class_label")", "every picture needs a class");
  }
}

std::vector<Item> read_metadata(const fs::path& metadata, const DatasetOptions& options) {
  const fs::path folder = metadata.parent_path();
  const std::string text = read_small_file(metadata, kMaxMetadataBytes);
  std::vector<Item> items;
  std::set<std::string> seen;
  std::size_t missing = 0;
  std::string first_missing;
  std::size_t number = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line(text.data() + begin, end - begin);
    begin = end + 1;
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const std::string where = cat(metadata.string(), ":", number);
    check_line(line, where, options);
    nlohmann::json object;
    try_parse_json(line, {}, object);
    std::string file = file_of(object, where);
    if (!seen.insert(file).second) {
      throw Error::input(cat(where, ": \"", file, "\" is named twice"), "keep one of the lines");
    }
    if (!fs::is_regular_file(folder / file) && missing++ == 0) {
      first_missing = cat(where, ": no picture ", (folder / file).string());
    }
    items.push_back({std::move(file), std::string(line)});
  }
  if (missing > 0) {
    throw Error::input(
        missing == 1 ? first_missing : cat(first_missing, ", nor ", missing - 1, " others"),
        "add the pictures, or take their lines out");
  }
  return items;
}

std::vector<std::string> list_pictures(const fs::path& folder) {
  std::vector<std::string> files;
  for (auto it = fs::recursive_directory_iterator(folder); it != fs::end(it); ++it) {
    const std::string name = it->path().filename().string();
    if (name.starts_with(".")) {
      if (it->is_directory()) it.disable_recursion_pending();
      continue;
    }
    if (!has_picture_suffix(name) || !it->is_regular_file()) continue;
    files.push_back(it->path().lexically_relative(folder).generic_string());
    if (find_invalid_utf8(files.back()) != std::string::npos) {
      throw Error::input(it->path().string() + ": the name is not UTF-8", "rename the file");
    }
  }
  return files;
}

[[noreturn]] void refuse_uncaptioned(const fs::path& folder, const std::string& file,
                                     std::size_t count) {
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.is_directory() && fs::exists(entry.path() / "metadata.jsonl")) {
      throw Error::input(folder.string() + ": no metadata.jsonl here, but in a folder below",
                         "did you mean " + entry.path().string() + "?");
    }
  }
  throw Error::input(cat((folder / file).string(), ": no caption",
                         count > 1 ? cat(", nor for ", count - 1, " others") : std::string()),
                     "write metadata.jsonl in the folder, or a .txt file beside each picture");
}

std::vector<Item> read_sidecars(const fs::path& folder, const std::vector<std::string>& files) {
  std::vector<Item> items;
  std::vector<std::string> without;
  for (const std::string& file : files) {
    fs::path sidecar = folder / file;
    sidecar.replace_extension(".txt");
    if (!fs::is_regular_file(sidecar)) {
      without.push_back(file);
      continue;
    }
    const std::string text = read_small_file(sidecar, kMaxCaptionBytes);
    items.push_back({file, clean_caption(text, sidecar.string())});
  }
  if (!without.empty()) {
    refuse_uncaptioned(folder, *std::min_element(without.begin(), without.end()), without.size());
  }
  return items;
}

}  // namespace

std::unique_ptr<Dataset> open_picture_folder(const fs::path& folder,
                                             const DatasetOptions& options) {
  fs::path metadata;
  std::vector<Item> items;
  if (options.captions || options.class_labels) metadata = find_metadata(folder);
  if (!metadata.empty()) {
    items = read_metadata(metadata, options);
  } else if (options.class_labels) {
    throw Error::input(folder.string() + ": class labels need a metadata.jsonl",
                       R"(a line reads {"file_name": "a.png", "class_label": 7})");
  } else {
    const std::vector<std::string> files = list_pictures(folder);
    if (options.captions) {
      items = read_sidecars(folder, files);
    } else {
      for (const std::string& file : files) items.push_back({file, {}});
    }
  }
  return std::make_unique<FolderDataset>(folder, std::move(items), metadata);
}

}  // namespace ldm::train
