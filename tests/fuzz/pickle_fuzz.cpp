// Any bytes as a checkpoint's data.pkl: only ldm::Error may come out, and each accepted tensor must
// lie in its storage.
#include <cstdint>
#include <cstdlib>
#include <span>

#include "ldm/core/error.h"
#include "ldm/io/torch_state_dict.h"

static void check(const ldm::TorchTensor& tensor) {
  if (tensor.sizes.size() != tensor.strides.size() || tensor.offset < 0) std::abort();
  __extension__ using Wide = __int128;
  Wide last = tensor.offset;
  bool is_empty = false;
  for (std::size_t i = 0; i < tensor.sizes.size(); ++i) {
    if (tensor.sizes[i] < 0 || tensor.strides[i] < 0) std::abort();
    is_empty |= tensor.sizes[i] == 0;
  }
  for (std::size_t i = 0; i < tensor.sizes.size() && !is_empty; ++i) {
    last += Wide{tensor.sizes[i] - 1} * tensor.strides[i];
    if (last >= tensor.storage_numel) std::abort();
  }
  if (is_empty ? last > tensor.storage_numel : last >= tensor.storage_numel) std::abort();
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  try {
    const ldm::TorchStateDict dict = ldm::read_torch_state_dict(bytes);
    for (const ldm::TorchTensor& tensor : dict.tensors) check(tensor);
  } catch (const ldm::Error& error) {
    if (error.rule().empty() || error.exit_code() != 4) std::abort();
  }
  return 0;
}
