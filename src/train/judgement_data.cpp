#include "ldm/train/judgement_data.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>

#include <map>
#include <system_error>
#include <utility>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/image.h"
#include "ldm/io/npy.h"
#include "ldm/io/resize.h"

namespace ldm::train {
namespace fs = std::filesystem;

namespace {

constexpr const char* kLayout =
    "a set is a folder of ref/ p0/ p1/ judge/ (2AFC) or p0/ p1/ same/ (JND); "
    "scripts/make_2afc_dataset.py makes both";

/// The regular files of a folder by stem.
std::map<std::string, fs::path> files_by_stem(const fs::path& folder) {
  std::error_code error;
  fs::directory_iterator entries(folder, error);
  if (error) throw Error::input(cat(folder.string(), ": ", error.message()), kLayout);
  std::map<std::string, fs::path> files;
  for (const fs::directory_entry& entry : entries) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with('.') || !entry.is_regular_file(error)) continue;
    if (!files.emplace(entry.path().stem().string(), entry.path()).second) {
      throw Error::input(
          cat(folder.string(), ": two files of the name ", entry.path().stem().string()),
          "keep one of them");
    }
  }
  return files;
}

void check_has(const std::map<std::string, fs::path>& files, const std::string& stem,
               const fs::path& folder) {
  if (files.count(stem) > 0) return;
  throw Error::input(cat(folder.string(), " has no ", stem, ", another part of the set has"),
                     "every item needs a file in each folder of the set");
}

at::Tensor to_tensor(const Image& image) {
  // from_blob only reads here; its signature has no const form.
  auto* pixels = const_cast<std::uint8_t*>(image.rgb.data());
  const at::Tensor rgb = at::from_blob(pixels, {image.height, image.width, 3}, at::kByte);
  return rgb.permute({2, 0, 1}).to(at::kFloat).contiguous() / 127.5 - 1.0;
}

}  // namespace

JudgedFiles::JudgedFiles(fs::path folder, std::vector<std::string> parts, std::string judgement)
    : folder_(std::move(folder)), parts_(std::move(parts)), judgement_(std::move(judgement)) {
  const fs::path judgements = folder_ / judgement_;
  const auto judged = files_by_stem(judgements);
  if (judged.empty()) throw Error::input(cat(judgements.string(), ": no judgements"), kLayout);
  for (const auto& [stem, path] : judged) {
    if (path.extension() != ".npy") {
      throw Error::input(cat(path.string(), ": not a .npy file"), kLayout);
    }
    stems_.push_back(stem);
  }
  for (const std::string& part : parts_) {
    const auto files = files_by_stem(folder_ / part);
    for (const std::string& stem : stems_) check_has(files, stem, folder_ / part);
    std::vector<fs::path>& paths = pictures_.emplace_back();
    for (const auto& [stem, path] : files) {
      check_has(judged, stem, judgements);
      paths.push_back(path);
    }
  }
}

at::Tensor JudgedFiles::pictures(std::size_t part, std::span<const std::int64_t> items,
                                 std::int64_t side) const {
  std::vector<at::Tensor> loaded;
  for (const std::int64_t item : items) {
    const fs::path& path = pictures_.at(part).at(static_cast<std::size_t>(item));
    Image image = load_image(path);
    const int pixels = static_cast<int>(side);
    if (side > 0 && (image.width != pixels || image.height != pixels)) {
      image = resize_lanczos(image, pixels, pixels);
    }
    loaded.push_back(to_tensor(image));
    if (loaded.back().sizes() != loaded.front().sizes()) {
      throw Error::input(cat(path.string(), ": ", image.width, "x", image.height,
                             ", other pictures of the set have another size"),
                         "resize all while loading: --load-size 64");
    }
  }
  return at::stack(loaded);
}

at::Tensor JudgedFiles::judgements(std::span<const std::int64_t> items) const {
  std::vector<double> values;
  for (const std::int64_t item : items) {
    const fs::path path =
        folder_ / judgement_ / (stems_.at(static_cast<std::size_t>(item)) + ".npy");
    values.push_back(load_npy_scalar(path));
    if (values.back() < 0 || values.back() > 1) {
      throw Error::input(
          cat(path.string(), ": the judgement ", values.back(), " is no share from 0 to 1"),
          "0: the first is nearer, 1: the second (2AFC); 1: no difference (JND)");
    }
  }
  return at::tensor(values, at::kDouble).to(at::kFloat);
}

TwoAfcData::TwoAfcData(const fs::path& folder, std::int64_t load_size)
    : files_(folder, {"ref", "p0", "p1"}, "judge"), load_size_(load_size) {}

TwoAfcBatch TwoAfcData::batch(std::span<const std::int64_t> items) const {
  return {files_.pictures(0, items, load_size_), files_.pictures(1, items, load_size_),
          files_.pictures(2, items, load_size_), files_.judgements(items)};
}

JndData::JndData(const fs::path& folder, std::int64_t load_size)
    : files_(folder, {"p0", "p1"}, "same"), load_size_(load_size) {}

JndBatch JndData::batch(std::span<const std::int64_t> items) const {
  return {files_.pictures(0, items, load_size_), files_.pictures(1, items, load_size_),
          files_.judgements(items)};
}

}  // namespace ldm::train
