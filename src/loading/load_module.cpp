#include "ldm/loading/load_module.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <array>
#include <map>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/checksums.h"
#include "ldm/io/hash.h"
#include "ldm/io/safetensors_writer.h"
#include "ldm/nn/layers.h"

namespace ldm {
namespace {

constexpr std::size_t kListed = 20;

std::string shape_text(at::IntArrayRef shape) {
  std::vector<std::string> dims;
  for (const std::int64_t dim : shape) dims.push_back(std::to_string(dim));
  return cat("[", join(dims, ", "), "]");
}

/// Old autoencoders store their attention's linear layers as 1x1 convolutions: [C, D, 1, 1] holds
/// what [C, D] asks for.
bool fits(at::IntArrayRef expected, at::IntArrayRef found) {
  while (found.size() > expected.size() && found.back() == 1)
    found = found.slice(0, found.size() - 1);
  return expected == found;
}

class ModuleLoader {
 public:
  ModuleLoader(const TensorSource& files, const Execution& execution, const WeightUpdates& updates)
      : files_(files), execution_(execution), updates_(updates) {}

  void load(const WeightBinding::Entry& entry) {
    const at::Tensor& parameter = entry.parameter;
    const auto updates = updates_.find(entry.key);
    const bool updated = updates != updates_.end();
    at::Tensor values =
        read(entry, updated ? at::kFloat : execution_.dtype).view(parameter.sizes());
    if (updated) {
      for (const WeightUpdate& update : updates->second) apply_update(update, values);
    }
    const auto format =
        parameter.dim() == 4 ? execution_.memory_format : c10::MemoryFormat::Contiguous;
    parameter.set_data(values.to(execution_.device, execution_.dtype, false, false, format));
  }

  /// Whether every tensor read so far had a digest in its file's metadata.
  bool all_vouched() const { return all_vouched_; }

 private:
  /// The tensor in `dtype` on the host, flat. A piece at a time is read, checked and
  /// converted while it is in the cache; pieces are small enough for ATen to stay on this thread.
  at::Tensor read(const WeightBinding::Entry& entry, at::ScalarType dtype) {
    constexpr std::int64_t kPiece = 32768;
    const TensorInfo& info = *files_.find(entry.file_key);
    const at::ScalarType stored = scalar_type(info.dtype);
    const auto size = static_cast<std::int64_t>(c10::elementSize(stored));
    const auto count = static_cast<std::int64_t>(info.byte_size()) / size;
    staging_.resize(static_cast<std::size_t>(kPiece * size));
    at::Tensor values = at::empty({count}, dtype);
    const std::string* vouched = vouched_hash(info.name);
    Sha256 hash;
    std::size_t non_finite = 0;
    for (std::int64_t begin = 0; begin < count; begin += kPiece) {
      const std::int64_t length = std::min(kPiece, count - begin);
      const std::span<std::byte> bytes(staging_.data(), static_cast<std::size_t>(length * size));
      files_.read_part(entry.file_key, static_cast<std::uint64_t>(begin * size), bytes);
      non_finite += count_non_finite(info.dtype, bytes);
      if (vouched != nullptr) hash.update(bytes);
      at::Tensor piece = at::from_blob(bytes.data(), {length}, stored);
      // ATen has fast copies from fp16 and to bf16, but none from one to the other.
      if (stored == at::kHalf && dtype == at::kBFloat16) piece = piece.to(at::kFloat);
      values.narrow(0, begin, length).copy_(piece);
    }
    if (vouched != nullptr) check_hash(entry, *vouched, hash.hex());
    if (non_finite > 0) throw_non_finite(entry, non_finite);
    return values;
  }

  /// The digest that the file's own metadata gives for a tensor, or null.
  const std::string* vouched_hash(const std::string& name) {
    const auto found = files_.metadata().find(cat(kTensorHashPrefix, name));
    if (found != files_.metadata().end()) return &found->second;
    all_vouched_ = false;
    return nullptr;
  }

  void check_hash(const WeightBinding::Entry& entry, const std::string& expected,
                  std::string found) const {
    if (found == expected) return;
    throw_on_mismatch({IntegrityState::kMismatch, "the file's own metadata", entry.file_key,
                       expected, std::move(found)},
                      files_.file_of(entry.file_key));
  }

  [[noreturn]] void throw_non_finite(const WeightBinding::Entry& entry, std::size_t count) const {
    throw Error::model(cat(files_.file_of(entry.file_key).string(), ": tensor \"", entry.file_key,
                           "\" holds ", count, " NaN or Inf value(s)"),
                       "the file is damaged or was trained to divergence; get it again");
  }

  const TensorSource& files_;
  const Execution& execution_;
  const WeightUpdates& updates_;
  std::vector<std::byte> staging_;
  bool all_vouched_ = true;
};

void append_problem(std::string& out, const char* kind, const std::vector<std::string>& items) {
  if (items.empty()) return;
  if (!out.empty()) out += "; ";
  out += cat(items.size(), " ", kind, ": ", join(items, ", ", kListed));
}

}  // namespace

at::ScalarType scalar_type(DType dtype) {
  constexpr std::array<std::pair<DType, at::ScalarType>, 10> kTypes = {{
      {DType::BOOL, at::kBool},
      {DType::U8, at::kByte},
      {DType::I8, at::kChar},
      {DType::I16, at::kShort},
      {DType::I32, at::kInt},
      {DType::I64, at::kLong},
      {DType::F16, at::kHalf},
      {DType::BF16, at::kBFloat16},
      {DType::F32, at::kFloat},
      {DType::F64, at::kDouble},
  }};
  for (const auto& [stored, type] : kTypes) {
    if (stored == dtype) return type;
  }
  throw Error::model_rule("E_ST_DTYPE",
                          cat("tensors of type ", dtype_name(dtype), " cannot be loaded"));
}

std::string WeightBinding::problems(const std::string& component) const {
  std::string text;
  append_problem(text, "missing", missing);
  append_problem(text, "unexpected", unexpected);
  append_problem(text, "mis-shaped", mis_shaped);
  return text.empty() ? text : cat(component, ": ", text);
}

WeightBinding bind_weights(const torch::nn::Module& module, const TensorSource& files,
                           const KeyMap& map) {
  std::map<std::string, std::string> by_name;
  for (const std::string& file_key : files.names()) {
    if (auto name = map.rename(file_key)) by_name.emplace(*std::move(name), file_key);
  }
  WeightBinding binding;
  for (const auto& item : module.named_parameters()) {
    const auto found = by_name.find(item.key());
    if (found == by_name.end()) {
      binding.missing.push_back(cat(item.key(), " ", shape_text(item.value().sizes())));
      continue;
    }
    const TensorInfo& info = *files.find(found->second);
    if (fits(item.value().sizes(), info.shape)) {
      binding.entries.push_back({item.key(), found->second, item.value()});
    } else {
      binding.mis_shaped.push_back(cat(item.key(), " expected ", shape_text(item.value().sizes()),
                                       " found ", shape_text(info.shape)));
    }
    by_name.erase(found);
  }
  for (const auto& [name, file_key] : by_name) {
    binding.unexpected.push_back(cat(file_key, " ", shape_text(files.find(file_key)->shape)));
  }
  return binding;
}

bool load_weights(const TensorSource& files, const WeightBinding& binding,
                  const Execution& execution, const WeightUpdates& updates) {
  const c10::AutoGradMode no_grad(false);
  ModuleLoader loader(files, execution, updates);
  for (const WeightBinding::Entry& entry : binding.entries) loader.load(entry);
  files.check_unchanged();
  return loader.all_vouched();
}

void unload_weights(torch::nn::Module& module) {
  const c10::AutoGradMode no_grad(false);
  for (at::Tensor& parameter : module.parameters()) {
    parameter.set_data(nn::unallocated(parameter.sizes()));
  }
}

}  // namespace ldm
