#include "ldm/pipeline/image_tensor.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/isfinite.h>

#include <algorithm>

#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm {

at::Tensor image_to_tensor(const Image& image) {
  // from_blob only reads here; its signature has no const form.
  auto* pixels = const_cast<std::uint8_t*>(image.rgb.data());
  const at::Tensor rgb = at::from_blob(pixels, {1, image.height, image.width, 3}, at::kByte);
  return (rgb.permute({0, 3, 1, 2}).to(at::kFloat).contiguous() / 255.0) * 2.0 - 1.0;
}

at::Tensor picture_bytes(const at::Tensor& x) {
  const at::Tensor unit = (x.to(at::kFloat) / 2 + 0.5).clamp(0, 1);
  return (unit[0].permute({1, 2, 0}) * 255).round().to(at::kByte).contiguous();
}

Image image_of_bytes(const at::Tensor& bytes) {
  const at::Tensor rgb = bytes.cpu();
  Image image;
  image.height = static_cast<int>(rgb.size(0));
  image.width = static_cast<int>(rgb.size(1));
  const auto* pixels = rgb.const_data_ptr<std::uint8_t>();
  image.rgb.assign(pixels, pixels + rgb.numel());
  return image;
}

Image tensor_to_image(const at::Tensor& x) { return image_of_bytes(picture_bytes(x)); }

at::Tensor latents_to_tensor(const LatentsData& latents, int first, int count) {
  auto* values = const_cast<float*>(latents.values.data());
  const at::Tensor all = at::from_blob(values, latents.shape, at::kFloat);
  if (all.size(0) == 1) return all.expand({count, -1, -1, -1}).clone();
  return all.narrow(0, first, count).clone();
}

LatentsData tensor_to_latents(const at::Tensor& latents) {
  const at::Tensor plain = latents.to(at::kCPU, at::kFloat).contiguous();
  LatentsData data;
  data.shape = plain.sizes().vec();
  const auto* values = plain.const_data_ptr<float>();
  data.values.assign(values, values + plain.numel());
  return data;
}

at::Tensor beside(const at::Tensor& other, const at::Tensor& x) {
  if (other.device().is_cpu()) return x;
  return x.pin_memory().to(other.device(), /*non_blocking=*/true);
}

at::Tensor on_its_way_to_host(const at::Tensor& x) {
  if (x.device().is_cpu()) return x;
  const at::Tensor host = at::empty(x.sizes(), x.options().device(at::kCPU).pinned_memory(true));
  return host.copy_(x, /*non_blocking=*/true);
}

bool all_finite(const at::Tensor& x) { return at::isfinite(x).all().item<bool>(); }

}  // namespace ldm
