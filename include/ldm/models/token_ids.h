#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string_view>

namespace ldm::models {

/// Error::model unless ids [B, N] int64 has 1 <= N <= `positions` and, where it lies on the CPU,
/// all ids are in [0, vocabulary). `what` names the encoder.
void check_token_ids(const at::Tensor& ids, std::int64_t positions, std::int64_t vocabulary,
                     std::string_view what);

/// Error::usage unless `clip_skip` is 0, for an encoder without such layers.
void refuse_clip_skip(std::int64_t clip_skip, std::string_view what);

/// Error::model unless 1 <= value <= 2^24, far above any published encoder.
void check_text_size(std::string_view what, std::string_view field, std::int64_t value);

}  // namespace ldm::models
