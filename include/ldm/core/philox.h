#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace ldm {

/// Four random words of a counter under a key: Philox4x32-10 (Salmon et al. 2011), as cuRAND has
/// it.
std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter,
                                    std::array<std::uint32_t, 2> key);

/// Fills `out` with the unit normal numbers that torch.randn draws on a CUDA device from `seed` in
/// its draw number `draw` (0, 1, …) of a generator: one counter an element, as long as the tensor
/// has no more elements than the device starts threads (latents have far fewer).
void philox_normal(std::uint64_t seed, std::uint32_t draw, std::span<float> out);

}  // namespace ldm
