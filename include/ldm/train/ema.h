#pragma once

#include <cstdint>
#include <vector>

#include "ldm/train/optimizer.h"
#include "ldm/train/tensor_map.h"

namespace ldm::train {

/// An exponential moving average of parameters: shadow ← d·shadow + (1-d)·parameter after each
/// step, with d = min(decay, (1+n)/(10+n)) at the n-th update, so that the first steps do not
/// linger (latent-diffusion's LitEma).
class Ema {
 public:
  /// Starts from the parameters' values; decay in [0, 1).
  Ema(std::vector<NamedParameter> parameters, double decay);

  void update();

  /// The averages by parameter name, sharing storage, and the number of updates ("updates").
  TensorMap state(const std::string& prefix) const;
  /// The averages by the parameters' names, sharing storage.
  TensorMap averages() const;

  /// Exchanges parameters and averages; a second call puts them back.
  void swap();

 private:
  std::vector<NamedParameter> parameters_;
  std::vector<at::Tensor> shadow_;
  at::Tensor updates_;  ///< int64 []
  double decay_;
};

/// The parameters hold their averages as long as this object lives.
class EmaScope {
 public:
  /// `ema` may be null: nothing happens.
  explicit EmaScope(Ema* ema) : ema_(ema) {
    if (ema_ != nullptr) ema_->swap();
  }
  ~EmaScope() {
    if (ema_ != nullptr) ema_->swap();
  }
  EmaScope(const EmaScope&) = delete;
  EmaScope& operator=(const EmaScope&) = delete;

 private:
  Ema* ema_;
};

}  // namespace ldm::train
