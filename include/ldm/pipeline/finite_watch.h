#pragma once

#include <memory>

namespace at {
class Tensor;
}

namespace ldm {

/// Whether the latents stay finite. On a CPU each step is looked at when it is done; a GPU is not
/// waited for until the next step has been launched, so that it always has work.
class FiniteWatch {
 public:
  FiniteWatch();
  ~FiniteWatch();

  /// The latents that step `step` (from 1) gives. Throws Error::non_finite for them or for those of
  /// the step before.
  void add(const at::Tensor& latents, int step);

  /// Waits for the last step. Throws as `add`.
  void finish();

 private:
  struct Pending;
  std::unique_ptr<Pending> pending_;
};

}  // namespace ldm
