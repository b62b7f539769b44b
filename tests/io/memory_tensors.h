#pragma once

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "ldm/io/joined_tensors.h"

namespace ldm::test {

/// A source of tensors held in memory; fp32 values count up from `first`.
class MemoryTensors {
 public:
  MemoryTensors() : source(std::make_shared<JoinedTensors>()) {}

  void add(const std::string& name, std::vector<std::int64_t> shape, float first = 0) {
    std::size_t count = 1;
    for (const std::int64_t dim : shape) count *= static_cast<std::size_t>(dim);
    std::vector<float> values(count);
    for (std::size_t i = 0; i < count; ++i) values[i] = first + static_cast<float>(i);
    std::vector<std::byte> bytes(count * sizeof(float));
    if (!bytes.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
    source->add_value(name, DType::F32, std::move(shape), std::move(bytes));
  }

  std::shared_ptr<JoinedTensors> source;
};

/// All values of an fp32 tensor.
inline std::vector<float> floats(const TensorSource& source, const std::string& name) {
  std::vector<float> values(source.find(name)->byte_size() / sizeof(float));
  source.read(name, std::as_writable_bytes(std::span(values)));
  return values;
}

}  // namespace ldm::test
