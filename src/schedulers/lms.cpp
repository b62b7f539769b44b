#include <ATen/TensorOperators.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "ldm/schedulers/history.h"
#include "ldm/schedulers/samplers.h"
#include "ldm/schedulers/sigma_scheduler.h"

namespace ldm {
namespace {

constexpr std::size_t kMostSlopes = 4;

/// Linear multistep: the polynomial through the last four slopes, integrated over the step
/// (Adams–Bashforth at uneven levels; k-diffusion's sample_lms). Matches LMSDiscreteScheduler, but
/// that image to image begins with the order that its own slopes allow, where the public class
/// weighs slopes that it never had.
class LMSDiscreteScheduler : public SigmaScheduler {
 public:
  using SigmaScheduler::SigmaScheduler;

 protected:
  void reset() override { slopes_.clear(); }

  at::Tensor step_fp32(const at::Tensor& model_output, int i, const at::Tensor& sample,
                       const at::Tensor&) override {
    remember(slopes_, (sample - predict_x0(model_output, i, sample)) / sigma(i), kMostSlopes);
    const int order = usable_order(i);
    at::Tensor next = sample;
    for (int k = 0; k < order; ++k) {
      next = next + weight(i, k, order) * slopes_[static_cast<std::size_t>(k)];
    }
    return next;
  }

 private:
  /// Slopes that stand at levels of their own: at as many steps as timesteps rounding repeats one.
  int usable_order(int i) const {
    int order = 1;
    while (order < static_cast<int>(slopes_.size()) && sigma(i - order) != sigma(i - order + 1)) {
      ++order;
    }
    return order;
  }

  /// ∫ from σ_i to σ_{i+1} of the k-th Lagrange polynomial over the last `order` levels; exact, as
  /// three Gauss–Legendre points are up to degree 5.
  double weight(int i, int k, int order) const {
    const std::array<double, 3> points = {-std::sqrt(0.6), 0, std::sqrt(0.6)};
    constexpr std::array<double, 3> kWeights = {5.0 / 9, 8.0 / 9, 5.0 / 9};
    const double half = (static_cast<double>(sigma(i + 1)) - sigma(i)) / 2;
    const double middle = (static_cast<double>(sigma(i + 1)) + sigma(i)) / 2;
    double integral = 0;
    for (std::size_t p = 0; p < points.size(); ++p) {
      double value = 1;
      for (int j = 0; j < order; ++j) {
        if (j == k) continue;
        value *= (middle + half * points[p] - sigma(i - j)) /
                 (static_cast<double>(sigma(i - k)) - sigma(i - j));
      }
      integral += kWeights[p] * value;
    }
    return half * integral;
  }

  std::vector<at::Tensor> slopes_;  // newest first
};

}  // namespace

SchedulerConfig lms_defaults() { return euler_defaults(); }

std::unique_ptr<Scheduler> make_lms(const SchedulerConfig& config, const SamplerOptions& options) {
  return std::make_unique<LMSDiscreteScheduler>(plain_levels(config), options.schedule);
}

}  // namespace ldm
