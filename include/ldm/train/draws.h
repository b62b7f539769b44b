#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string_view>

namespace ldm::train {

/// A CPU generator that depends on a run's seed, on what it is for ("noise", "crop") and on the
/// number of the sample or step it serves, and on nothing else. Draws are therefore the same
/// whatever the batch size, the number of processes, or the step that a run was resumed at, and no
/// generator's state is ever stored.
at::Generator draw_for(std::uint64_t seed, std::string_view purpose, std::uint64_t number);

/// The 64-bit key behind `draw_for`, for code that needs numbers and no tensors.
std::uint64_t draw_key(std::uint64_t seed, std::string_view purpose, std::uint64_t number);

/// Standard normal values [count, shape...] fp32, each row drawn for its own sample: `first`,
/// `first` + 1, …
at::Tensor noise_for(std::uint64_t seed, std::string_view purpose, std::int64_t first,
                     std::int64_t count, at::IntArrayRef shape);

}  // namespace ldm::train
