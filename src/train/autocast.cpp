#include "ldm/train/autocast.h"

#include <ATen/autocast_mode.h>

namespace ldm::train {

Autocast::Autocast(const std::string& precision, c10::DeviceType device)
    : device_(device), enabled_(precision != "no") {
  if (!enabled_) return;
  at::autocast::set_autocast_enabled(device_, true);
  at::autocast::set_autocast_dtype(device_, precision == "fp16" ? at::kHalf : at::kBFloat16);
  at::autocast::increment_nesting();
}

Autocast::~Autocast() {
  if (!enabled_) return;
  if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(device_, false);
}

}  // namespace ldm::train
