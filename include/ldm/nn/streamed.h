#pragma once

#include <cstddef>

namespace ldm::nn {

class WeightStream;

/// What a module inherits whose weights may come to the device when they are used; its forward
/// begins with `await_weights`.
struct Streamed {
  /// What is launched from now on finds the weights.
  void await_weights() const {
    if (stream != nullptr) bring();
  }

  WeightStream* stream = nullptr;  ///< null: the weights stay where they are
  std::size_t number = 0;          ///< of the module among those of the stream

 private:
  void bring() const;
};

}  // namespace ldm::nn
