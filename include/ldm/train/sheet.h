#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "ldm/io/image.h"

namespace ldm::train {

/// Pictures side by side in `columns` columns, row by row. pictures [N, 3, H, W] in about [-1, 1];
/// values are clamped and rounded to 8 bits.
Image make_sheet(const at::Tensor& pictures, std::int64_t columns);

}  // namespace ldm::train
