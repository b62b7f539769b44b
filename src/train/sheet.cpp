#include "ldm/train/sheet.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros.h>

#include <cstring>

namespace ldm::train {

Image make_sheet(const at::Tensor& pictures, std::int64_t columns) {
  const std::int64_t height = pictures.size(2), width = pictures.size(3);
  const std::int64_t rows = (pictures.size(0) + columns - 1) / columns;
  constexpr double kHalf = 127.5;
  const at::Tensor bytes = (pictures.detach().to(at::kCPU, at::kFloat) * kHalf + kHalf)
                               .round()
                               .clamp(0, 2 * kHalf)
                               .to(at::kByte)
                               .permute({0, 2, 3, 1});
  at::Tensor sheet = at::zeros({rows * height, columns * width, 3}, at::kByte);
  for (std::int64_t i = 0; i < pictures.size(0); ++i) {
    sheet.narrow(0, i / columns * height, height)
        .narrow(1, i % columns * width, width)
        .copy_(bytes[i]);
  }
  Image image{static_cast<int>(columns * width), static_cast<int>(rows * height), {}};
  image.rgb.resize(sheet.nbytes());
  std::memcpy(image.rgb.data(), sheet.const_data_ptr(), sheet.nbytes());
  return image;
}

}  // namespace ldm::train
