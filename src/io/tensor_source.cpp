#include "ldm/io/tensor_source.h"

#include "ldm/core/text.h"

namespace ldm {

std::string describe(const TensorInfo& info) {
  std::vector<std::string> dims;
  for (const std::int64_t dim : info.shape) dims.push_back(std::to_string(dim));
  return cat(dtype_name(info.dtype), " [", join(dims, ", "), "]");
}

std::uint64_t TensorSource::total_bytes() const {
  std::uint64_t total = 0;
  for (const std::string& name : names()) total += find(name)->byte_size();
  return total;
}

}  // namespace ldm
