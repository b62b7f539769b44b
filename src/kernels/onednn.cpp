#include "ldm/kernels/onednn.h"

#include <ATen/core/List.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <array>
#include <optional>
#include <string_view>

#include "ldm/core/device.h"

// Exported by libtorch for its own compiled models; their header needs oneDNN's.
namespace at::native {
TORCH_API void* data_ptr_from_mkldnn(const Tensor& mkldnn_tensor);
TORCH_API Tensor mkldnn_tensor_from_data_ptr(void* data_ptr, IntArrayRef dims, ScalarType dtype,
                                             Device device, const std::uint8_t* opaque_metadata,
                                             std::int64_t opaque_metadata_size);
}  // namespace at::native

namespace ldm {
namespace {

using OptionalTensor = std::optional<at::Tensor>;
using Scalars = c10::List<std::optional<at::Scalar>>;
using Ints = at::IntArrayRef;

OptionalTensor optional(const at::Tensor& tensor) {
  return tensor.defined() ? OptionalTensor(tensor) : std::nullopt;
}

/// libtorch does not export oneDNN itself; its operators are reached by name.
template <typename Signature>
auto find_operator(const char* name, const char* overload) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, overload).typed<Signature>();
}

}  // namespace

bool onednn_serves(const at::Tensor& tensor) {
  if (!tensor.device().is_cpu()) return false;
  if (tensor.scalar_type() == at::kFloat) return true;
  return tensor.scalar_type() == at::kBFloat16 && cpu_has_native_bf16();
}

at::Tensor onednn_pack_linear(const at::Tensor& weight) {
  static const auto op = find_operator<at::Tensor(const at::Tensor&, std::optional<std::int64_t>)>(
      "mkldnn::_reorder_linear_weight", "");
  return op.call(weight, std::nullopt);
}

namespace {

/// A linear layer and a function of its output.
at::Tensor linear_unary(const at::Tensor& x, const at::Tensor& packed, const at::Tensor& bias,
                        std::string_view function, std::string_view algorithm) {
  static const auto op =
      find_operator<at::Tensor(const at::Tensor&, const at::Tensor&, const OptionalTensor&,
                               std::string_view, Scalars, std::optional<std::string_view>)>(
          "mkldnn::_linear_pointwise", "");
  return op.call(x, packed, optional(bias), function, Scalars(), algorithm);
}

/// A linear layer and a function of its output and another tensor.
at::Tensor linear_binary(const at::Tensor& x, const at::Tensor& packed, const at::Tensor& bias,
                         const at::Tensor& other, std::string_view function) {
  static const auto op =
      find_operator<at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                               const OptionalTensor&, std::string_view)>(
          "mkldnn::_linear_pointwise", "binary");
  return op.call(x, other, packed, optional(bias), function);
}

}  // namespace

at::Tensor onednn_linear(const at::Tensor& x, const at::Tensor& packed, const at::Tensor& bias) {
  return linear_unary(x, packed, bias, "none", "");
}

at::Tensor onednn_linear_gelu(const at::Tensor& x, const at::Tensor& packed,
                              const at::Tensor& bias) {
  return linear_unary(x, packed, bias, "gelu", "none");
}

at::Tensor onednn_linear_add(const at::Tensor& x, const at::Tensor& packed, const at::Tensor& bias,
                             const at::Tensor& other) {
  return linear_binary(x, packed, bias, other, "add");
}

at::Tensor onednn_linear_mul(const at::Tensor& x, const at::Tensor& packed, const at::Tensor& bias,
                             const at::Tensor& other) {
  return linear_binary(x, packed, bias, other, "mul");
}

at::Tensor onednn_pack_conv2d(const at::Tensor& weight, std::int64_t stride, std::int64_t padding,
                              at::IntArrayRef input_size) {
  static const auto op =
      find_operator<at::Tensor(const at::Tensor&, Ints, Ints, Ints, std::int64_t,
                               at::OptionalIntArrayRef)>("mkldnn::_reorder_convolution_weight", "");
  const std::array<std::int64_t, 2> paddings = {padding, padding};
  const std::array<std::int64_t, 2> strides = {stride, stride};
  const std::array<std::int64_t, 2> dilations = {1, 1};
  return op.call(weight, paddings, strides, dilations, 1, input_size);
}

at::Tensor onednn_unpack(const at::Tensor& packed) { return packed.to_dense(); }

at::Tensor onednn_conv2d(const at::Tensor& x, const at::Tensor& packed, const at::Tensor& bias,
                         std::int64_t stride, std::int64_t padding) {
  static const auto op = find_operator<at::Tensor(
      const at::Tensor&, const at::Tensor&, const OptionalTensor&, Ints, Ints, Ints, std::int64_t,
      std::string_view, Scalars, std::optional<std::string_view>)>("mkldnn::_convolution_pointwise",
                                                                   "");
  const std::array<std::int64_t, 2> paddings = {padding, padding};
  const std::array<std::int64_t, 2> strides = {stride, stride};
  const std::array<std::int64_t, 2> dilations = {1, 1};
  return op.call(x, packed, optional(bias), paddings, strides, dilations, 1, "none", Scalars(), "");
}

OnednnPacked onednn_parts(const at::Tensor& packed) {
  static const auto describe =
      find_operator<at::Tensor(const at::Tensor&)>("mkldnn::_get_mkldnn_serialized_md", "");
  static const auto size = find_operator<std::int64_t(const at::Tensor&)>("mkldnn::_nbytes", "");
  const at::Tensor layout = describe.call(packed);
  const auto* first = layout.const_data_ptr<std::uint8_t>();
  return {packed.sizes().vec(),
          packed.scalar_type(),
          {first, first + layout.numel()},
          {static_cast<const std::byte*>(at::native::data_ptr_from_mkldnn(packed)),
           static_cast<std::size_t>(size.call(packed))}};
}

at::Tensor onednn_from_parts(const OnednnPacked& parts) {
  return at::native::mkldnn_tensor_from_data_ptr(
      const_cast<std::byte*>(parts.memory.data()), parts.sizes, parts.dtype, at::kCPU,
      parts.layout.data(), static_cast<std::int64_t>(parts.layout.size()));
}

}  // namespace ldm
