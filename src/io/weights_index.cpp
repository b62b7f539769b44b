#include "ldm/io/weights_index.h"

#include <algorithm>
#include <set>
#include <system_error>

#include "ldm/core/error.h"
#include "ldm/core/log.h"
#include "ldm/core/text.h"
#include "ldm/io/json.h"

namespace ldm {
namespace {

namespace fs = std::filesystem;
constexpr JsonLimits kIndexJson{std::size_t{16} << 20U, 16};

bool is_index(const fs::path& path) {
  const std::string name = path.filename().string();
  return name.ends_with(".json") && name.find(".index.") != std::string::npos;
}

// File names of one variant ("" is plain) in the order in which they are tried; diffusers has
// written the variant of an index in both places.
std::vector<std::string> candidates(const std::string& stem, const std::string& variant) {
  if (variant.empty()) return {stem + ".safetensors", stem + ".safetensors.index.json"};
  return {stem + "." + variant + ".safetensors", stem + ".safetensors.index." + variant + ".json",
          stem + "." + variant + ".safetensors.index.json"};
}

bool is_present(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(fs::symlink_status(path, ignored));
}

std::vector<std::string> weight_like_files(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const fs::path& path = it->path();
    const std::string extension = path.extension().string();
    if (extension == ".safetensors" || extension == ".bin" || extension == ".ckpt" ||
        extension == ".pt" || extension == ".pth" || extension == ".msgpack" || is_index(path)) {
      names.push_back(path.filename().string());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

Error nothing_found(const fs::path& folder, const std::string& stem, const std::string& variant) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) {
    return Error::model(folder.string() + ": no such folder", "check the model's path");
  }
  const std::vector<std::string> found = weight_like_files(folder);
  const std::string wanted = candidates(stem, variant).front();
  const bool only_pickles = std::any_of(found.begin(), found.end(), [](const std::string& name) {
    return name.ends_with(".bin") || name.ends_with(".pt") || name.ends_with(".ckpt");
  });
  std::string what = folder.string() + ": no " + wanted + " or its index";
  if (found.empty()) return Error::model(what, "the download is incomplete: download again");
  constexpr std::size_t kMost = 6;
  what += ", only " + join(found, ", ", kMost);
  if (only_pickles) {
    return Error::model(what,
                        "download the .safetensors files, or convert with diffusers: "
                        "save_pretrained(DIR, safe_serialization=True)");
  }
  return Error::model(what, "rename or download the weights under that name");
}

/// Whether a shard that is a link leads to where shards may be: the index's own folder, or the
/// blobs of the Hugging Face cache that this folder is a snapshot in.
bool leads_to_a_shard(const fs::path& path) {
  std::error_code error;
  if (!fs::is_symlink(path, error)) return true;
  const fs::path home = fs::weakly_canonical(path.parent_path(), error);
  const fs::path found = fs::weakly_canonical(path, error).parent_path();
  if (found == home) return true;
  for (fs::path up = home; up.has_relative_path(); up = up.parent_path()) {
    if (up.filename() == "snapshots" && found == up.parent_path() / "blobs") return true;
  }
  return false;
}

}  // namespace

std::map<std::string, std::string> parse_weight_map(std::string_view text) {
  constexpr const char* kAgain = "download or copy the file again";
  nlohmann::json index;
  if (const auto fault = try_parse_json(text, kIndexJson, index)) {
    throw Error::model_rule("E_IDX_JSON",
                            cat("invalid JSON at byte ", fault->offset, ": ", fault->text), kAgain);
  }
  if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object()) {
    throw Error::model_rule("E_IDX_JSON", "no object \"weight_map\"", kAgain);
  }
  std::map<std::string, std::string> map;
  for (const auto& item : index["weight_map"].items()) {
    if (!item.value().is_string()) {
      throw Error::model_rule("E_IDX_JSON", "weight_map of \"" + item.key() + "\" is not a string",
                              kAgain);
    }
    const auto& shard = item.value().get_ref<const std::string&>();
    const bool plain = shard.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos;
    if (!plain || shard.starts_with('.') || !shard.ends_with(".safetensors")) {
      throw Error::model_rule("E_IDX_PATH",
                              "shard \"" + shard + "\" of tensor \"" + item.key() +
                                  "\" is not a .safetensors name in this folder",
                              "put the shards beside the index, under plain names");
    }
    map.emplace(item.key(), shard);
  }
  return map;
}

void WeightFiles::add(const fs::path& path) {
  files_.push_back(std::make_unique<SafetensorsFile>(path));
  const SafetensorsHeader& header = files_.back()->header();
  for (const TensorInfo& info : header.tensors) {
    const auto [it, is_new] = where_.emplace(info.name, Place{files_.size() - 1, &info});
    if (!is_new) {
      throw Error::model_rule("E_IDX_DUP", "tensor \"" + info.name + "\" is also in " +
                                               files_[it->second.file]->path().string())
          .with_context(path.string());
    }
  }
  metadata_.insert(header.metadata.begin(), header.metadata.end());
}

WeightFiles WeightFiles::open_index(const fs::path& path) {
  const std::map<std::string, std::string> map = [&path] {
    try {
      return parse_weight_map(read_small_file(path, kIndexJson.max_bytes));
    } catch (Error& error) {
      if (!error.rule().empty()) error.with_context(path.string());
      throw;
    }
  }();
  std::set<std::string> shards;
  for (const auto& [tensor, shard] : map) shards.insert(shard);
  std::vector<std::string> absent;
  for (const std::string& shard : shards) {
    if (!leads_to_a_shard(path.parent_path() / shard)) {
      throw Error::model_rule("E_IDX_PATH", cat("shard ", shard, " is a link to another folder"),
                              "put the shards beside their index")
          .with_context(path.string());
    }
    if (!is_present(path.parent_path() / shard)) absent.push_back(shard);
  }
  constexpr std::size_t kMost = 5;
  if (!absent.empty()) {
    throw Error::model_rule("E_IDX_SHARD",
                            cat(absent.size(), " of ", shards.size(),
                                " shards are missing: ", join(absent, ", ", kMost)),
                            "the download is incomplete: download again")
        .with_context(path.string());
  }
  WeightFiles weights;
  for (const std::string& shard : shards) weights.add(path.parent_path() / shard);
  for (const auto& [tensor, shard] : map) {
    if (weights.file_of(tensor).filename() == shard) continue;
    throw Error::model_rule("E_IDX_MISSING", "tensor \"" + tensor + "\" is not in " + shard,
                            "index and shards are of different downloads: download again")
        .with_context(path.string());
  }
  return weights;
}

WeightFiles WeightFiles::open_file(const fs::path& path) {
  if (is_index(path)) return open_index(path);
  WeightFiles weights;
  weights.add(path);
  return weights;
}

WeightFiles WeightFiles::open(const fs::path& folder, const std::string& stem,
                              const std::string& variant) {
  std::vector<std::string> variants{variant};
  if (variant.empty()) variants.emplace_back("fp16");
  for (const std::string& which : variants) {
    for (const std::string& name : candidates(stem, which)) {
      if (!is_present(folder / name)) continue;
      if (which != variant) {
        log_info("weights-variant", (folder / name).string() + ": only the " + which +
                                        " variant is there, so it is used");
      }
      return open_file(folder / name);
    }
  }
  throw nothing_found(folder, stem, variant);
}

const TensorInfo* WeightFiles::find(std::string_view name) const {
  const auto found = where_.find(name);
  return found == where_.end() ? nullptr : found->second.info;
}

std::vector<std::string> WeightFiles::names() const {
  std::vector<std::string> names;
  names.reserve(where_.size());
  for (const auto& [name, place] : where_) names.emplace_back(name);
  std::sort(names.begin(), names.end());
  return names;
}

void WeightFiles::read_part(std::string_view name, std::uint64_t offset,
                            std::span<std::byte> out) const {
  const auto found = where_.find(name);
  if (found == where_.end()) throw Error::model(cat("no tensor \"", name, "\""));
  files_[found->second.file]->read_part(*found->second.info, offset, out);
}

fs::path WeightFiles::file_of(std::string_view name) const {
  const auto found = where_.find(name);
  return found == where_.end() ? fs::path{} : files_[found->second.file]->path();
}

std::vector<SourceFile> WeightFiles::files() const {
  std::vector<SourceFile> list;
  for (const auto& file : files_) list.push_back({file->path(), file->size()});
  return list;
}

void WeightFiles::check_unchanged() const {
  for (const auto& file : files_) file->check_unchanged();
}

}  // namespace ldm
