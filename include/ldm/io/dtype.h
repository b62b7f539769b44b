#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ldm {

/// Element types of the safetensors format, under its own names (crate 0.8.0 knows these 22).
enum class DType : std::uint8_t {
  BOOL,
  U8,
  I8,
  I16,
  I32,
  I64,
  F16,
  BF16,
  F32,
  F64,
  // Known by name and size, never loaded:
  F4,
  F6_E2M3,
  F6_E3M2,
  F8_E5M2,
  F8_E4M3,
  F8_E8M0,
  F8_E5M2FNUZ,
  F8_E4M3FNUZ,
  U16,
  U32,
  C64,
  U64,
};

/// The type of that name ("F16"), or nothing for an unknown one.
std::optional<DType> dtype_from_name(std::string_view name);

/// The name the safetensors format uses.
std::string_view dtype_name(DType dtype);

/// All names, in the enum's order.
const std::vector<std::string>& dtype_names();

/// Bits of one element: 4, 6, 8, 16, 32 or 64.
std::size_t dtype_bits(DType dtype);

/// Whether tensors of this type can be read (F16 BF16 F32 F64 I8 I16 I32 I64 U8 BOOL).
bool is_loadable(DType dtype);

/// Whether values can be NaN or Inf and `count_non_finite` looks at them (F16 BF16 F32 F64).
bool is_floating(DType dtype);

/// How many elements of `bytes` (little-endian, any alignment) are NaN or Inf; 0 for types that are
/// not floating.
std::size_t count_non_finite(DType dtype, std::span<const std::byte> bytes);

}  // namespace ldm
