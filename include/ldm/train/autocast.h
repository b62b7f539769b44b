#pragma once

#include <c10/core/DeviceType.h>

#include <string>

namespace ldm::train {

/// The number formats of operators for one scope, as `torch.autocast` sets them: "bf16" and "fp16"
/// where a format is safe, "no" for none of it.
class Autocast {
 public:
  Autocast(const std::string& precision, c10::DeviceType device);
  ~Autocast();
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  c10::DeviceType device_;
  bool enabled_;
};

}  // namespace ldm::train
