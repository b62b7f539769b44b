#pragma once

#include <cstddef>

#include "ldm/models/unet_2d_condition_config.h"
#include "ldm/nn/unet_2d_blocks.h"

namespace ldm::models {

/// What the down block of level `i` of a UNet2DConditionModel is made of.
nn::UNetBlockOptions down_block_options(const UNet2DConditionConfig& config, std::size_t i);

/// What its middle is made of; `config.mid_block_type` is set.
nn::UNetBlockOptions mid_block_options(const UNet2DConditionConfig& config);

/// The up block number `i`, from the deepest level to the first.
nn::UNetBlockOptions up_block_options(const UNet2DConditionConfig& config, std::size_t i);

}  // namespace ldm::models
