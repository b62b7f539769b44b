#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>

#include "ldm/io/image.h"

namespace ldm::test {

/// A golden's picture [H, W, 3] uint8.
inline std::shared_ptr<const Image> image_of(const at::Tensor& rgb) {
  auto image = std::make_shared<Image>();
  image->height = static_cast<int>(rgb.size(0));
  image->width = static_cast<int>(rgb.size(1));
  const auto* bytes = rgb.const_data_ptr<std::uint8_t>();
  image->rgb.assign(bytes, bytes + rgb.numel());
  return image;
}

}  // namespace ldm::test
