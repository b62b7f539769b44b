#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ldm/models/unet_2d_condition_config.h"

namespace ldm::models {

/// The fields of a ControlNetModel's config.json, with diffusers' names and defaults: those of the
/// UNet whose first half it copies, and those of what reads the control picture.
struct ControlNetConfig : UNet2DConditionConfig {
  std::int64_t conditioning_channels = 3;
  std::string controlnet_conditioning_channel_order = "rgb";  ///< or "bgr"
  std::vector<std::int64_t> conditioning_embedding_out_channels{16, 32, 96, 256};
  bool global_pool_conditions = false;

  template <class V>
  void visit(V&& v) {
    UNet2DConditionConfig::visit(v);
    v("conditioning_channels", conditioning_channels);
    v("controlnet_conditioning_channel_order", controlnet_conditioning_channel_order);
    v("conditioning_embedding_out_channels", conditioning_embedding_out_channels);
    v("global_pool_conditions", global_pool_conditions);
  }

  /// As the UNet's. Throws Error::model also for what reads the control picture.
  void validate() const;
};

}  // namespace ldm::models
