#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>
#include <torch/nn/module.h>

#include <cstddef>
#include <cstdint>
#include <memory>

#include "ldm/nn/streamed.h"

namespace ldm::nn {

/// Bytes of what the Streamed modules below a module take in slots.
struct StreamedBytes {
  std::int64_t all = 0;
  std::int64_t largest = 0;  ///< of one of them
};

/// Those of weights in `dtype`, whether or not they are there.
StreamedBytes streamed_bytes(const torch::nn::Module& module, c10::ScalarType dtype);

/// Keeps the weights of Streamed modules on the host, pinned, and copies them into one of two slots
/// on the device when they are used: while one module computes, the weights of the one that came
/// after it last time are on their way into the other slot. Modules may be used in any order, by
/// one thread. On a CPU the same without pinned memory, copied at once: for tests.
class WeightStream {
 public:
  /// Slots of `slot_bytes`: the largest of the modules.
  WeightStream(c10::Device device, std::int64_t slot_bytes);
  /// What its modules have afterwards is no weights.
  ~WeightStream();
  WeightStream(const WeightStream&) = delete;
  WeightStream& operator=(const WeightStream&) = delete;

  /// Takes the weights of a Streamed module, loaded on the device and packed, but for
  /// `time_emb_proj`: another layer computes with those of all blocks. Until they are used they
  /// have their shapes, and any values. May be called by several threads at a time. Error::internal
  /// for weights that need more than a slot.
  void adopt(torch::nn::Module& module);

  /// Has the weights of the module of that number there for what is launched next on the current
  /// stream of the device.
  void use(std::size_t number);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ldm::nn
