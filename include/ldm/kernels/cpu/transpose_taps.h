#pragma once

#include <cstddef>
#include <cstdint>

namespace ldm::cpu {

/// Filters of 3×3 taps [out, in, 3·3] → [3·3, in, out], elements of 2 or 4 bytes. `out` and `in`
/// are multiples of 8.
void transpose_taps(const std::byte* from, std::int64_t out, std::int64_t in,
                    std::int64_t element_bytes, std::byte* to);

/// The same by its definition, for any sizes.
void transpose_taps_plainly(const std::byte* from, std::int64_t out, std::int64_t in,
                            std::int64_t element_bytes, std::byte* to);

}  // namespace ldm::cpu
