#include "ldm/io/legacy_checkpoint.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <utility>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/pickle.h"
#include "ldm/io/torch_state_dict.h"

namespace ldm {
namespace {

// pickle.dumps(0x1950a86a20f9469cfc6c, 2) and pickle.dumps(1001, 2).
constexpr std::string_view kMagic(
    "\x80\x02\x8a\x0al\xfc\x9c"
    "F\xf9 j\xa8P\x19.",
    15);
constexpr std::string_view kProtocol("\x80\x02M\xe9\x03.", 6);
constexpr std::uint64_t kMostPickleBytes = std::uint64_t{16} << 20U;

constexpr const char* kResave = "save it again with a current torch, or convert it to safetensors";

bool begins_with(std::span<const std::byte> bytes, std::string_view text) {
  return bytes.size() >= text.size() && std::memcmp(bytes.data(), text.data(), text.size()) == 0;
}

/// Reads the pickles at the file's start and then knows where each storage lies.
class Layout {
 public:
  Layout(const ByteSource& source, std::span<const std::byte> start)
      : source_(source), start_(start) {
    limits_.before_torch_1_6 = true;
  }

  TorchStateDict read() {
    if (!begins_with(start_, kMagic)) {
      throw Error::model_rule("E_CKPT_LEGACY", "no checkpoint of torch 0.2 to 1.5", kResave);
    }
    skip(kMagic.size());
    if (!begins_with(start_, kProtocol)) {
      throw Error::model_rule("E_CKPT_VERSION", "an unknown protocol version", kResave);
    }
    skip(kProtocol.size());
    read_machine();
    TorchStateDict dict = read_torch_state_dict(start_, limits_);
    skip(dict.pickle_bytes);
    place_storages(dict);
    return dict;
  }

  /// The file's bytes of a storage, from the file's start.
  std::uint64_t begin_of(const std::string& storage) const { return begins_.at(storage); }

 private:
  void skip(std::size_t count) {
    start_ = start_.subspan(count);
    at_ += count;
  }

  void read_machine() {
    const Pickle pickle = parse_pickle(start_, limits_);
    bool is_little = false;
    const bool is_dict = pickle.root.kind == PickleKind::kDict;
    for (const PickleItem* item = is_dict ? pickle.arena.first(pickle.root) : nullptr;
         item != nullptr; item = pickle.arena.after(*item)) {
      if (item->key.kind != PickleKind::kText) continue;
      if (pickle.arena.text(item->key) != "little_endian") continue;
      is_little = item->value.kind == PickleKind::kBool && item->value.data == 1;
    }
    if (!is_little) {
      throw Error::model_rule("E_CKPT_ENDIAN", "the tensors are not said to be little-endian",
                              kResave);
    }
    skip(pickle.bytes);
  }

  /// After the pickled list of keys: for each its number of elements, then these.
  void place_storages(const TorchStateDict& dict) {
    std::map<std::string_view, const TorchStorage*> known;
    for (const TorchStorage& storage : dict.storages) known.emplace(storage.key, &storage);
    const Pickle keys = parse_pickle(start_, limits_);
    if (keys.root.kind != PickleKind::kList) refuse("no list of storages");
    std::uint64_t at = at_ + keys.bytes;
    for (const PickleItem* item = keys.arena.first(keys.root); item != nullptr;
         item = keys.arena.after(*item)) {
      const bool is_text = item->value.kind == PickleKind::kText;
      const auto found = known.find(is_text ? keys.arena.text(item->value) : std::string_view());
      if (found == known.end()) refuse("a storage that nothing names, or one twice");
      at = place(*found->second, at);
      known.erase(found);
    }
    if (!known.empty()) refuse(cat("storage ", known.begin()->first, " is missing"));
    if (at != source_.size()) refuse(cat(source_.size() - at, " bytes follow the last storage"));
  }

  /// The byte after the storage whose count stands at `at`.
  std::uint64_t place(const TorchStorage& storage, std::uint64_t at) {
    std::array<std::byte, 8> count{};
    if (source_.size() - at < count.size()) refuse("it ends within its storages");
    source_.read_at(at, count);
    std::int64_t numel = 0;
    std::memcpy(&numel, count.data(), sizeof numel);
    if (numel != storage.numel) {
      refuse(cat("storage ", storage.key, " has ", numel, " elements, its tensors expect ",
                 storage.numel));
    }
    const std::uint64_t begin = at + count.size();
    const std::uint64_t item_bytes = dtype_bits(storage.dtype) / 8;
    if (static_cast<std::uint64_t>(numel) > (source_.size() - begin) / item_bytes) {
      refuse("it ends within its storages");
    }
    begins_.emplace(storage.key, begin);
    return begin + static_cast<std::uint64_t>(numel) * item_bytes;
  }

  [[noreturn]] static void refuse(const std::string& what) {
    throw Error::model_rule("E_CKPT_RECORD", what, "download or copy the file again");
  }

  const ByteSource& source_;
  std::span<const std::byte> start_;
  std::uint64_t at_ = 0;
  PickleLimits limits_;
  std::map<std::string, std::uint64_t> begins_;
};

bool is_contiguous(const TorchTensor& tensor) {
  std::int64_t expected = 1;
  for (std::size_t i = tensor.sizes.size(); i-- > 0;) {
    if (tensor.sizes[i] == 0) return true;
    if (tensor.sizes[i] != 1 && tensor.strides[i] != expected) return false;
    expected *= tensor.sizes[i];
  }
  return true;
}

}  // namespace

bool is_legacy_checkpoint(const std::filesystem::path& path) {
  const InputFile file(path);
  std::array<std::byte, kMagic.size()> start{};
  if (file.size() < start.size()) return false;
  file.read_at(0, start);
  return begins_with(start, kMagic);
}

LegacyCheckpoint::LegacyCheckpoint(const std::filesystem::path& path)
    : path_(path), file_(path), source_(*file_) {
  open();
}

LegacyCheckpoint::LegacyCheckpoint(std::span<const std::byte> file, const std::string& name)
    : path_(name), source_(file) {
  open();
}

void LegacyCheckpoint::open() {
  try {
    std::vector<std::byte> start(
        static_cast<std::size_t>(std::min(source_.size(), kMostPickleBytes)));
    source_.read_at(0, start);
    Layout layout(source_, start);
    for (const TorchTensor& tensor : layout.read().tensors) {
      if (!is_contiguous(tensor)) {
        throw Error::model_rule("E_CKPT_VIEW",
                                cat("tensor \"", tensor.name, "\" is not contiguous"), kResave);
      }
      const std::uint64_t item_bytes = dtype_bits(tensor.dtype) / 8;
      TensorInfo info{tensor.name, tensor.dtype, tensor.sizes, 0, 0};
      info.begin =
          layout.begin_of(tensor.storage) + static_cast<std::uint64_t>(tensor.offset) * item_bytes;
      std::uint64_t count = 1;
      for (const std::int64_t size : tensor.sizes) count *= static_cast<std::uint64_t>(size);
      info.end = info.begin + count * item_bytes;
      tensors_.emplace(tensor.name, std::move(info));
    }
  } catch (Error& error) {
    error.with_context(path_.string());
    throw;
  }
}

const TensorInfo* LegacyCheckpoint::find(std::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

std::vector<std::string> LegacyCheckpoint::names() const {
  std::vector<std::string> names;
  for (const auto& [name, info] : tensors_) names.push_back(name);
  return names;
}

void LegacyCheckpoint::read_part(std::string_view name, std::uint64_t offset,
                                 std::span<std::byte> out) const {
  const TensorInfo* info = find(name);
  if (info == nullptr) throw Error::model(cat("no tensor \"", name, "\""));
  if (offset > info->byte_size() || out.size() > info->byte_size() - offset) {
    throw Error::internal(cat("reading past the end of tensor \"", name, "\""));
  }
  source_.read_at(info->begin + offset, out);
}

std::filesystem::path LegacyCheckpoint::file_of(std::string_view name) const {
  return find(name) != nullptr ? path_ : std::filesystem::path{};
}

std::vector<SourceFile> LegacyCheckpoint::files() const { return {{path_, source_.size()}}; }

void LegacyCheckpoint::check_unchanged() const {
  if (file_) file_->check_unchanged();
}

}  // namespace ldm
