#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ldm/io/dtype.h"
#include "ldm/io/tensor_source.h"

namespace ldm {

/// Whether values of one floating type can be rewritten in the other: among F16 BF16 F32 F64.
bool is_convertible(DType from, DType to);

/// Rewrites little-endian values of type `from` as type `to`, rounding to nearest, ties to even
/// (IEEE 754), subnormals included; NaN stays NaN and keeps its sign. `out` has room for as many
/// values. → how many finite values became infinite.
std::size_t convert_values(DType from, std::span<const std::byte> in, DType to,
                           std::span<std::byte> out);

/// A whole floating tensor as fp32; Error::model for another type or no such tensor. Meant for
/// small ones.
std::vector<float> read_floats(const TensorSource& source, std::string_view name);

}  // namespace ldm
