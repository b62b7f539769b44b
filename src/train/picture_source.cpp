#include "ldm/train/picture_source.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/stack.h>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/train/draws.h"

namespace ldm::train {
namespace {

std::unique_ptr<Dataset> open(const DataConfig& data, const std::string& source,
                              const DatasetOptions& options) {
  if (data.path.empty()) throw Error::input(cat(source, ": /data/path is missing"));
  return open_dataset(data.path, options);
}

PictureOptions picture_options(const DataConfig& data) {
  return {data.size, parse_crop(data.crop), data.flip};
}

}  // namespace

void DataConfig::validate(const std::string& where) const {
  constexpr std::int64_t kLargest = 4096;
  if (size < 1 || size > kLargest) throw Error::input(cat(where, ": /size is not in 1 … 4096"));
  if (patch < 0 || patch > size) throw Error::input(cat(where, ": /patch is not in 0 … size"));
  parse_crop(crop);
}

PictureReader::PictureReader(const RunConfig& config, const DatasetOptions& options)
    : data_(read_section<DataConfig>(config, "data")),
      seed_(static_cast<std::uint64_t>(config.run.seed)),
      dataset_(open(data_, config.source, options)),
      order_(dataset_->size(), seed_, data_.shuffle),
      loader_(*dataset_, order_, picture_options(data_), seed_,
              static_cast<int>(config.run.data_threads)) {}

Batch PictureReader::batch(SampleRange range) { return loader_.next(range.first, range.count); }

at::Tensor PictureReader::pictures(SampleRange range) { return batch(range).pictures; }

at::Tensor PictureReader::patches(SampleRange range) {
  const at::Tensor whole = pictures(range);
  if (data_.patch == 0 || data_.patch == data_.size) return whole;
  std::vector<at::Tensor> patches;
  for (std::int64_t i = 0; i < range.count; ++i) {
    const std::uint64_t key = draw_key(seed_, "patch", static_cast<std::uint64_t>(range.first + i));
    const auto places = static_cast<std::uint64_t>(data_.size - data_.patch + 1);
    const auto top = static_cast<std::int64_t>(key % places);
    const auto left = static_cast<std::int64_t>(key / places % places);
    patches.push_back(whole[i].narrow(1, top, data_.patch).narrow(2, left, data_.patch));
  }
  return at::stack(patches);
}

std::vector<std::string> PictureReader::skipped() const {
  std::vector<std::string> lines;
  for (const SkippedPicture& picture : loader_.skipped()) {
    lines.push_back(cat(picture.name, ": ", picture.reason));
  }
  return lines;
}

}  // namespace ldm::train
