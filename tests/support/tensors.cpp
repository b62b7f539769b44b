#include "tests/support/tensors.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/stack.h>
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

at::Tensor seeded_randn(at::IntArrayRef shape, std::uint64_t seed) {
  return at::randn(shape, at::make_generator<at::CPUGeneratorImpl>(seed));
}

void fill_by_formula(torch::nn::Module& module, std::uint64_t seed) {
  const c10::AutoGradMode no_grad(false);
  const auto parameters = module.named_parameters();
  std::map<std::string, at::Tensor> by_name;
  for (const auto& item : parameters) by_name.emplace(item.key(), item.value());
  for (auto& [name, parameter] : by_name) {
    const at::Tensor values = seeded_randn(parameter.sizes(), seed++);
    if (parameter.dim() > 1) {
      const auto fan_in = static_cast<double>(values[0].numel());
      parameter.set_data(values * std::sqrt(2.0 / fan_in));
    } else {
      parameter.set_data(values * 0.1 + (name.ends_with("weight") ? 1.0 : 0.0));
    }
    parameter.requires_grad_(true);
  }
}

at::Tensor digest(const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> rows;
  for (const at::Tensor& tensor : tensors) {
    REQUIRE(tensor.defined());
    const at::Tensor flat = tensor.detach().flatten();
    const std::int64_t count = flat.numel();
    rows.push_back(
        at::stack({flat.norm(), flat[0], flat[count / 3], flat[2 * count / 3], flat[count - 1]}));
  }
  return at::stack(rows);
}

std::vector<at::Tensor> gradients_of(const torch::nn::Module& module) {
  std::map<std::string, at::Tensor> by_name;
  for (const auto& item : module.named_parameters()) by_name.emplace(item.key(), item.value());
  std::vector<at::Tensor> gradients;
  for (const auto& [name, parameter] : by_name) gradients.push_back(parameter.grad());
  return gradients;
}

void expect_digests(const at::Tensor& actual, const at::Tensor& expected, double tolerance,
                    const std::string& what) {
  REQUIRE(actual.sizes() == expected.sizes());
  for (std::int64_t i = 0; i < expected.size(0); ++i) {
    const double norm = std::max(expected[i][0].item<double>(), 1e-12);
    const double error = (actual[i] - expected[i]).abs().max().item<double>() / norm;
    INFO(what << ": tensor " << i << ", largest error " << error << " of the norm " << norm);
    CHECK(error <= tolerance);
  }
}

}  // namespace ldm::test
