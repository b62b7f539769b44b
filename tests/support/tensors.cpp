#include "tests/support/tensors.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <sstream>

#include "ldm/io/safetensors.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace ldm::test {
namespace {

at::ScalarType scalar_type(DType dtype) {
  switch (dtype) {
    case DType::F32:
      return at::kFloat;
    case DType::F64:
      return at::kDouble;
    case DType::F16:
      return at::kHalf;
    case DType::BF16:
      return at::kBFloat16;
    case DType::I64:
      return at::kLong;
    case DType::I32:
      return at::kInt;
    case DType::U8:
      return at::kByte;
    case DType::BOOL:
      return at::kBool;
    default:
      throw std::runtime_error("a golden file with an unexpected dtype");
  }
}

std::string index_text(std::int64_t flat, at::IntArrayRef sizes) {
  std::vector<std::int64_t> index(sizes.size());
  for (std::size_t d = sizes.size(); d-- > 0;) {
    index[d] = flat % sizes[d];
    flat /= sizes[d];
  }
  std::ostringstream out;
  for (std::size_t d = 0; d < index.size(); ++d) out << (d == 0 ? "[" : ", ") << index[d];
  out << (index.empty() ? "[]" : "]");
  return out.str();
}

}  // namespace

Golden::Golden(std::string_view name) {
  const SafetensorsFile file(test_file("golden/" + std::string(name) + ".safetensors"));
  for (const TensorInfo& info : file.header().tensors) {
    at::Tensor tensor = at::empty(info.shape, scalar_type(info.dtype));
    file.read(info, {static_cast<std::byte*>(tensor.data_ptr()), tensor.nbytes()});
    tensors.emplace(info.name, tensor);
  }
  metadata = file.header().metadata;
}

at::Tensor Golden::at(const std::string& key) const {
  const auto found = tensors.find(key);
  if (found == tensors.end()) FAIL("the golden file has no tensor " << key);
  return found->second;
}

void Golden::load_into(torch::nn::Module& module, const std::string& prefix) const {
  const c10::AutoGradMode no_grad(false);
  const std::string start = prefix.empty() ? "" : prefix + ".";
  std::set<std::string> unused;
  for (const auto& [key, value] : tensors) {
    if (!start.empty() && key.rfind(start, 0) == 0) unused.insert(key.substr(start.size()));
  }
  for (auto& item : module.named_parameters()) {
    const at::Tensor value = at(start + item.key());
    INFO(start + item.key());
    REQUIRE(value.sizes() == item.value().sizes());
    item.value().set_data(value.clone());
    unused.erase(item.key());
  }
  INFO("first golden weight without a parameter: " << (unused.empty() ? "" : *unused.begin()));
  CHECK(unused.empty());
}

void expect_close(const at::Tensor& actual, const at::Tensor& expected, double tolerance,
                  const std::string& what) {
  INFO(what);
  REQUIRE(actual.defined());
  REQUIRE(actual.sizes() == expected.sizes());
  if (expected.numel() == 0) return;
  const at::Tensor a = actual.detach().to(at::kCPU, at::kDouble).contiguous();
  const at::Tensor e = expected.to(at::kDouble).contiguous();
  const double std_dev = e.numel() > 1 ? e.std().item<double>() : 0.0;
  const double scale = std_dev > 0 ? std_dev : std::max(1.0, e.abs().max().item<double>());
  const at::Tensor error = (a - e).abs();
  const auto worst = error.argmax().item<std::int64_t>();
  const double figure = error.flatten()[worst].item<double>() / scale;
  INFO("largest error " << figure << " of the std at " << index_text(worst, e.sizes()) << ": "
                        << a.flatten()[worst].item<double>() << ", expected "
                        << e.flatten()[worst].item<double>());
  CHECK(figure <= tolerance);
}

}  // namespace ldm::test
