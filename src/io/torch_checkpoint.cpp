#include "ldm/io/torch_checkpoint.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/sniff.h"

namespace ldm {
namespace {

// Records that are no tensors are small; larger ones are left to check_all().
constexpr std::uint64_t kSmallRecord = std::uint64_t{64} << 10U;
// Scattered elements are taken from memory when the part of the file that they lie in is no larger,
// else read one by one.
constexpr std::uint64_t kMostSpan = std::uint64_t{256} << 20U;
constexpr std::uint64_t kLongRun = std::uint64_t{64} << 10U;

// "3\n", the version of the records' layout; torch reads 1 to 10.
bool is_known_version(std::span<const std::byte> bytes) {
  std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.ends_with('\n')) text.remove_suffix(1);
  return text == "10" || (text.size() == 1 && text[0] >= '1' && text[0] <= '9');
}

void check_kind_of_archive(const ZipArchive& archive) {
  for (const ZipRecord& record : archive.records()) {
    if (record.name == "constants.pkl" || record.name.starts_with("code/")) {
      throw Error::model_rule("E_CKPT_SCRIPT", "this is a TorchScript program, not weights",
                              "save the model's state_dict, or get it as .safetensors");
    }
    if (!record.name.starts_with("data/") && record.name != "data.pkl" &&
        record.size <= kSmallRecord) {
      archive.check(record);
    }
  }
  const ZipRecord* version = archive.find("version");
  if (version == nullptr || !is_known_version(archive.read(*version, kSmallRecord))) {
    throw Error::model_rule("E_CKPT_VERSION", "no format version from 1 to 10: no torch checkpoint",
                            "save it again with a current torch, or convert it to safetensors");
  }
  const ZipRecord* order = archive.find("byteorder");
  if (order == nullptr) return;
  constexpr std::string_view kLittle = "little";
  std::array<std::byte, kLittle.size()> bytes{};
  if (order->size == bytes.size()) archive.read_part(*order, 0, bytes);
  if (std::memcmp(bytes.data(), kLittle.data(), bytes.size()) != 0) {
    throw Error::model_rule("E_CKPT_ENDIAN", "the tensors are not little-endian",
                            "save it again on a little-endian machine");
  }
}

// The runs of a view one after the other: `position` is a run's first element in the storage.
class Runs {
 public:
  Runs(std::span<const std::uint64_t> sizes, std::span<const std::uint64_t> strides,
       std::uint64_t offset, std::uint64_t first)
      : sizes_(sizes), strides_(strides), index_(sizes.size()), position_(offset) {
    for (std::size_t i = sizes.size(); i-- > 0; first /= sizes[i]) {
      index_[i] = first % sizes[i];
      position_ += index_[i] * strides[i];
    }
  }
  std::uint64_t position() const { return position_; }
  void advance() {
    for (std::size_t i = sizes_.size(); i-- > 0;) {
      position_ += strides_[i];
      if (++index_[i] < sizes_[i]) return;
      position_ -= sizes_[i] * strides_[i];
      index_[i] = 0;
    }
  }

 private:
  std::span<const std::uint64_t> sizes_, strides_;
  std::vector<std::uint64_t> index_;
  std::uint64_t position_;
};

}  // namespace

TorchCheckpoint::TorchCheckpoint(const std::filesystem::path& path,
                                 const TorchCheckpointLimits& limits)
    : path_(path), file_(path), source_(*file_) {
  open(limits);
}

TorchCheckpoint::TorchCheckpoint(std::span<const std::byte> file, const std::string& name,
                                 const TorchCheckpointLimits& limits)
    : path_(name), source_(file) {
  open(limits);
}

void TorchCheckpoint::open(const TorchCheckpointLimits& limits) {
  try {
    std::array<std::byte, kSniffBytes> start{};
    const auto count =
        static_cast<std::size_t>(std::min<std::uint64_t>(source_.size(), start.size()));
    source_.read_at(0, std::span(start).first(count));
    const std::string_view text(reinterpret_cast<const char*>(start.data()), count);
    if (const auto foreign = foreign_checkpoint(text)) throw *foreign;
    archive_.emplace(source_, limits.zip);
    check_kind_of_archive(*archive_);
    const ZipRecord* pickle = archive_->find("data.pkl");
    if (pickle == nullptr) {
      throw Error::model_rule("E_CKPT_RECORD",
                              "the zip has no record data.pkl: no torch checkpoint");
    }
    TorchStateDict dict =
        read_torch_state_dict(archive_->read(*pickle, limits.max_pickle_bytes), limits.pickle);
    tensors_.reserve(dict.tensors.size());
    views_.reserve(dict.tensors.size());
    by_name_.reserve(dict.tensors.size());
    for (const TorchTensor& tensor : dict.tensors) add(tensor);
    integers_ = std::move(dict.integers);
  } catch (Error& error) {
    error.with_context(path_.string());
    throw;
  }
}

void TorchCheckpoint::add(const TorchTensor& tensor) {
  const ZipRecord* record = archive_->find("data/" + tensor.storage);
  if (record == nullptr) {
    throw Error::model_rule("E_CKPT_RECORD", cat("record data/", tensor.storage, " of tensor \"",
                                                 tensor.name, "\" is missing"));
  }
  View view{
      record, dtype_bits(tensor.dtype) / 8, static_cast<std::uint64_t>(tensor.offset), {}, {}};
  const auto numel = static_cast<std::uint64_t>(tensor.storage_numel);
  if (record->size / view.item_bytes != numel || record->size % view.item_bytes != 0) {
    throw Error::model_rule(
        "E_CKPT_RECORD",
        cat("record data/", tensor.storage, " of tensor \"", tensor.name, "\" has ", record->size,
            " bytes, its storage needs ", numel, " x ", view.item_bytes));
  }
  TensorInfo info{tensor.name, tensor.dtype, tensor.sizes, 0, 0};
  std::uint64_t count = 1;
  for (std::size_t i = tensor.sizes.size(); i-- > 0;) {
    const auto size = static_cast<std::uint64_t>(tensor.sizes[i]);
    const auto stride = static_cast<std::uint64_t>(tensor.strides[i]);
    count *= size;
    if (size == 1) continue;
    if (!view.sizes.empty() && stride == view.sizes.back() * view.strides.back()) {
      view.sizes.back() *= size;
    } else {
      view.sizes.push_back(size);
      view.strides.push_back(stride);
    }
  }
  std::reverse(view.sizes.begin(), view.sizes.end());
  std::reverse(view.strides.begin(), view.strides.end());
  info.begin = record->begin + view.offset * view.item_bytes;
  info.end = info.begin + count * view.item_bytes;
  tensors_.push_back(std::move(info));
  views_.push_back(std::move(view));
  by_name_.emplace(tensors_.back().name, tensors_.size() - 1);
}

std::optional<std::int64_t> TorchCheckpoint::integer(std::string_view name) const {
  const auto found = integers_.find(name);
  if (found == integers_.end()) return std::nullopt;
  return found->second;
}

void TorchCheckpoint::check_all() const {
  try {
    for (const ZipRecord& record : archive_->records()) archive_->check(record);
  } catch (Error& error) {
    error.with_context(path_.string());
    throw;
  }
}

const TensorInfo* TorchCheckpoint::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &tensors_[found->second];
}

std::vector<std::string> TorchCheckpoint::names() const {
  std::vector<std::string> names;
  names.reserve(tensors_.size());
  for (const TensorInfo& info : tensors_) names.push_back(info.name);
  return names;
}

void TorchCheckpoint::read_part(std::string_view name, std::uint64_t offset,
                                std::span<std::byte> out) const {
  const auto found = by_name_.find(name);
  if (found == by_name_.end()) throw Error::model(cat("no tensor \"", name, "\""));
  const TensorInfo& info = tensors_[found->second];
  const View& view = views_[found->second];
  if (offset > info.byte_size() || out.size() > info.byte_size() - offset) {
    throw Error::internal(cat("reading past the end of tensor \"", name, "\""));
  }
  if (out.empty()) return;
  try {
    const bool contiguous =
        view.sizes.empty() || (view.sizes.size() == 1 && view.strides.front() == 1);
    if (!contiguous) return gather(view, offset, out);
    archive_->read_part(*view.record, view.offset * view.item_bytes + offset, out);
  } catch (Error& error) {
    error.with_context(cat("tensor \"", name, "\"")).with_context(path_.string());
    throw;
  }
}

// Row-major contents are runs of elements that lie side by side in the storage.
void TorchCheckpoint::gather(const View& view, std::uint64_t offset,
                             std::span<std::byte> out) const {
  archive_->check(*view.record);
  const bool has_runs = view.strides.back() == 1;
  const std::size_t outer = view.sizes.size() - (has_runs ? 1 : 0);
  const std::uint64_t run_bytes = (has_runs ? view.sizes.back() : 1) * view.item_bytes;
  const auto sizes = std::span(view.sizes).first(outer);
  const auto strides = std::span(view.strides).first(outer);
  std::uint64_t reach = 0;
  std::uint64_t total_bytes = run_bytes;
  for (std::size_t i = 0; i < outer; ++i) {
    reach += (sizes[i] - 1) * strides[i];
    total_bytes *= sizes[i];
  }
  const std::uint64_t base = view.record->begin + view.offset * view.item_bytes;
  const std::uint64_t span_bytes = reach * view.item_bytes + run_bytes;
  SpanCache::Bytes span;
  if (run_bytes < kLongRun && span_bytes <= kMostSpan) {
    span = spans_.get(source_, base, span_bytes);
    if (offset + out.size() == total_bytes) spans_.forget(base, span_bytes);
  }

  Runs runs(sizes, strides, 0, offset / run_bytes);
  std::uint64_t skip = offset % run_bytes;
  for (std::size_t done = 0; done < out.size(); skip = 0, runs.advance()) {
    const auto count =
        static_cast<std::size_t>(std::min<std::uint64_t>(run_bytes - skip, out.size() - done));
    const std::uint64_t at = runs.position() * view.item_bytes + skip;
    if (span == nullptr) {
      source_.read_at(base + at, out.subspan(done, count));
    } else {
      std::memcpy(out.data() + done, span->data() + at, count);
    }
    done += count;
  }
}

std::filesystem::path TorchCheckpoint::file_of(std::string_view name) const {
  return by_name_.contains(name) ? path_ : std::filesystem::path{};
}

std::vector<SourceFile> TorchCheckpoint::files() const { return {{path_, source_.size()}}; }

void TorchCheckpoint::check_unchanged() const {
  if (file_) file_->check_unchanged();
}

}  // namespace ldm
