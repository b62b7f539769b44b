#include "ldm/train/tensor_map.h"

#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cstring>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/checksums.h"
#include "ldm/io/open_tensors.h"
#include "ldm/loading/load_module.h"

namespace ldm::train {
namespace {

DType dtype_of(const at::Tensor& tensor, const std::string& name) {
  switch (tensor.scalar_type()) {
    case at::kFloat:
      return DType::F32;
    case at::kHalf:
      return DType::F16;
    case at::kBFloat16:
      return DType::BF16;
    case at::kLong:
      return DType::I64;
    default:
      throw Error::internal(cat("cannot store tensor ", name, " of type ", tensor.dtype().name()));
  }
}

std::string shape_text(const at::Tensor& tensor) {
  return cat(tensor.dtype().name(), " ", tensor.sizes());
}

}  // namespace

TensorMapSource::TensorMapSource(const TensorMap& tensors) {
  for (const auto& [name, tensor] : tensors) {
    Item item{{name, dtype_of(tensor, name), tensor.sizes().vec(), 0, tensor.nbytes()},
              tensor.detach().cpu().contiguous()};
    items_.emplace(name, std::move(item));
  }
}

const TensorMapSource::Item* TensorMapSource::item(std::string_view name) const {
  const auto found = items_.find(name);
  return found == items_.end() ? nullptr : &found->second;
}

const TensorInfo* TensorMapSource::find(std::string_view name) const {
  const Item* found = item(name);
  return found == nullptr ? nullptr : &found->info;
}

std::vector<std::string> TensorMapSource::names() const {
  std::vector<std::string> names;
  for (const auto& entry : items_) names.push_back(entry.first);
  return names;
}

void TensorMapSource::read_part(std::string_view name, std::uint64_t offset,
                                std::span<std::byte> out) const {
  const Item* found = item(name);
  if (found == nullptr || offset + out.size() > found->info.byte_size()) {
    throw Error::internal(cat("no such bytes of tensor ", name));
  }
  if (out.empty()) return;
  std::memcpy(out.data(), static_cast<const std::byte*>(found->values.const_data_ptr()) + offset,
              out.size());
}

TensorMap named_tensors(const torch::nn::Module& module, const std::string& prefix) {
  TensorMap tensors;
  for (const auto& item : module.named_parameters()) tensors[prefix + item.key()] = item.value();
  for (const auto& item : module.named_buffers()) tensors[prefix + item.key()] = item.value();
  return tensors;
}

void restore_tensors(const TensorMap& targets, const TensorMap& values, const std::string& what) {
  std::vector<std::string> problems;
  for (const auto& [name, target] : targets) {
    const auto found = values.find(name);
    if (found == values.end()) {
      problems.push_back(cat(name, " is missing"));
    } else if (found->second.sizes() != target.sizes() ||
               found->second.scalar_type() != target.scalar_type()) {
      problems.push_back(
          cat(name, " is ", shape_text(found->second), ", not ", shape_text(target)));
    }
  }
  for (const auto& entry : values) {
    if (targets.count(entry.first) == 0) problems.push_back(cat(entry.first, " is unexpected"));
  }
  constexpr std::size_t kListed = 5;
  if (!problems.empty()) {
    throw Error::model(
        cat(what, ": ", problems.size(), " tensors do not fit: ", join(problems, "; ", kListed)),
        "resume with the configuration that the checkpoint was made with");
  }
  const c10::AutoGradMode no_grad(false);
  for (const auto& [name, target] : targets) at::Tensor(target).copy_(values.at(name));
}

TensorMap read_tensors(const std::filesystem::path& file) {
  const auto source = open_tensors(file);
  throw_on_mismatch(check_own_hashes(file), file);
  TensorMap tensors;
  for (const std::string& name : source->names()) {
    const TensorInfo& info = *source->find(name);
    at::Tensor values = at::empty(info.shape, scalar_type(info.dtype));
    source->read(name, {static_cast<std::byte*>(values.mutable_data_ptr()), values.nbytes()});
    tensors.emplace(name, std::move(values));
  }
  return tensors;
}

}  // namespace ldm::train
