#include "ldm/loading/packed_cache.h"

#include <ATen/ops/from_blob.h>
#include <torch/version.h>

#include <array>
#include <nlohmann/json.hpp>
#include <span>
#include <system_error>
#include <vector>

#include "ldm/core/device.h"
#include "ldm/core/environment.h"
#include "ldm/core/error.h"
#include "ldm/core/log.h"
#include "ldm/core/text.h"
#include "ldm/core/version.h"
#include "ldm/io/file.h"
#include "ldm/io/hash.h"
#include "ldm/io/json.h"
#include "ldm/io/little_endian.h"
#include "ldm/kernels/onednn.h"
#include "ldm/nn/pack.h"

namespace ldm {
namespace fs = std::filesystem;
using Json = nlohmann::json;

namespace {

// A file is the length of its header in 8 bytes, least significant first, the header in JSON, and
// the tensors' bytes, each beginning at a multiple of kAlignment.
constexpr const char* kFormat = "ldm-packed-1";
constexpr std::size_t kAlignment = 64;
constexpr std::size_t kLengthBytes = 8;
constexpr JsonLimits kHeader{std::size_t{32} << 20U, 8};

constexpr std::size_t aligned(std::size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

Error damaged(const std::string& what) { return Error::model("packed weights: " + what); }

/// An ordinary tensor has no layout.
OnednnPacked parts_of(const at::Tensor& tensor) {
  if (tensor.is_mkldnn()) return onednn_parts(tensor);
  return {tensor.sizes().vec(),
          tensor.scalar_type(),
          {},
          {static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()}};
}

/// The file of these tensors.
void write_tensors(const fs::path& path, const std::map<std::string, at::Tensor>& tensors,
                   bool vouched) {
  Json header = {{"format", kFormat}, {"vouched", vouched}, {"tensors", Json::object()}};
  std::vector<at::Tensor> kept;
  std::vector<std::span<const std::byte>> data;
  std::size_t end = 0;
  for (const auto& [name, tensor] : tensors) {
    kept.push_back(tensor.is_mkldnn() ? tensor : tensor.contiguous());
    const OnednnPacked parts = parts_of(kept.back());
    header["tensors"][name] = {{"offset", end},
                               {"bytes", parts.memory.size()},
                               {"sizes", parts.sizes},
                               {"dtype", static_cast<int>(parts.dtype)},
                               {"layout", parts.layout}};
    data.push_back(parts.memory);
    end = aligned(end + parts.memory.size());
  }
  std::string text = header.dump();
  text.resize(aligned(kLengthBytes + text.size()) - kLengthBytes, ' ');
  const std::array<std::byte, kLengthBytes> length = little_endian(text.size());
  constexpr std::array<std::byte, kAlignment> kZeros{};
  std::vector<std::span<const std::byte>> parts = {length, std::as_bytes(std::span(text))};
  for (const auto& bytes : data) {
    parts.push_back(bytes);
    parts.push_back(std::span(kZeros).first(aligned(bytes.size()) - bytes.size()));
  }
  write_parts_atomic(path, parts, IfExists::kReplace);
}

/// The tensors of a mapped file, by name.
class MappedTensors {
 public:
  explicit MappedTensors(std::span<const std::byte> bytes) {
    if (bytes.size() < kLengthBytes) throw damaged("the file is cut off");
    const std::uint64_t length = from_little_endian(bytes.first(kLengthBytes));
    if (length > bytes.size() - kLengthBytes) throw damaged("the file is cut off");
    const auto text = bytes.subspan(kLengthBytes, static_cast<std::size_t>(length));
    data_ = bytes.subspan(kLengthBytes + text.size());
    header_ = parse_json({reinterpret_cast<const char*>(text.data()), text.size()}, kHeader,
                         "packed weights");
    if (header_.value("format", "") != kFormat) throw damaged("another format");
  }

  bool vouched() const { return header_.at("vouched").get<bool>(); }

  /// An undefined tensor where there is none of that name.
  at::Tensor find(const std::string& name) const {
    const auto found = header_.at("tensors").find(name);
    if (found == header_.at("tensors").end()) return {};
    const auto offset = found->at("offset").get<std::size_t>();
    const auto bytes = found->at("bytes").get<std::size_t>();
    if (offset > data_.size() || bytes > data_.size() - offset) throw damaged(name + " is cut off");
    const OnednnPacked parts{found->at("sizes").get<std::vector<std::int64_t>>(),
                             static_cast<at::ScalarType>(found->at("dtype").get<int>()),
                             found->at("layout").get<std::vector<std::uint8_t>>(),
                             data_.subspan(offset, bytes)};
    if (!parts.layout.empty()) return onednn_from_parts(parts);
    const at::Tensor tensor = at::from_blob(const_cast<std::byte*>(parts.memory.data()),
                                            parts.sizes, at::TensorOptions(parts.dtype));
    if (tensor.nbytes() != bytes) throw damaged(name + " has another size");
    return tensor;
  }

 private:
  Json header_;
  std::span<const std::byte> data_;
};

/// Lets go what else was kept of the same component.
void remove_others(const fs::path& entry) {
  std::error_code error;
  for (const auto& other : fs::directory_iterator(entry.parent_path(), error)) {
    if (other.path() != entry) fs::remove(other.path(), error);
  }
}

}  // namespace

PackedCache PackedCache::of_user() {
  const fs::path folder = user_cache_folder();
  return folder.empty() ? PackedCache() : PackedCache(folder / "packed");
}

fs::path PackedCache::entry(const Key& key) const {
  const std::string rest =
      cat(kFormat, "\n", key.network, "\n", dtype_word(key.execution.dtype),
          key.execution.eight_bit ? " int8\n" : "\n", cpu_name(), " ", cpu_isa(), "\n", version(),
          " ", revision(), "\nlibtorch ", TORCH_VERSION);
  return folder_ / cat(key.component, "-", key.sha256) / sha256_hex(rest);
}

PackedCache::Restored PackedCache::restore(torch::nn::Module& module, const Key& key) const {
  if (!enabled()) return {};
  const fs::path path = entry(key);
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return {};
  try {
    auto file = std::make_shared<const MappedFile>(path);
    const MappedTensors tensors(file->bytes());
    nn::adopt_packed(module, key.execution.dtype,
                     [&](const std::string& name) { return tensors.find(name); });
    return {std::move(file), tensors.vouched()};
  } catch (const std::exception& fault) {
    log_warning("packed-cache", cat(path.string(), " is not used: ", fault.what()),
                "it is made again; remove it if this comes back");
    return {};
  }
}

void PackedCache::keep(torch::nn::Module& module, const Key& key, bool vouched) const {
  if (!enabled()) return;
  const fs::path path = entry(key);
  try {
    std::error_code error;
    fs::create_directories(path.parent_path(), error);
    write_tensors(path, nn::packed_tensors(module), vouched);
    remove_others(path);
  } catch (const Error& fault) {
    log_warning("packed-cache", cat("packed weights are not kept: ", fault.message()),
                "leave out --weight-cache, or make room");
  }
}

}  // namespace ldm
