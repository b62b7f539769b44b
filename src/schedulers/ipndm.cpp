#include <ATen/TensorOperators.h>

#include <vector>

#include "ldm/schedulers/adams_bashforth.h"
#include "ldm/schedulers/history.h"
#include "ldm/schedulers/samplers.h"
#include "ldm/schedulers/sigma_scheduler.h"

namespace ldm {
namespace {

constexpr std::size_t kMostSlopes = 4;

/// Improved pseudo numerical method: Adams–Bashforth of the order that the run so far allows, up to
/// the fourth, without Runge-Kutta steps (Zhang & Chen 2023, §4; Liu et al. 2022, eq. 12). Matches
/// IPNDMScheduler's step on the model's own noise levels; that class has levels of its own.
class IPNDMScheduler : public SigmaScheduler {
 public:
  using SigmaScheduler::SigmaScheduler;

 protected:
  void reset() override { slopes_.clear(); }

  at::Tensor step_fp32(const at::Tensor& model_output, int i, const at::Tensor& sample,
                       const at::Tensor&) override {
    remember(slopes_, (sample - predict_x0(model_output, i, sample)) / sigma(i), kMostSlopes);
    return sample + adams_bashforth(slopes_) * (sigma(i + 1) - sigma(i));
  }

 private:
  std::vector<at::Tensor> slopes_;  // newest first
};

}  // namespace

SchedulerConfig ipndm_defaults() { return euler_defaults(); }

std::unique_ptr<Scheduler> make_ipndm(const SchedulerConfig& config,
                                      const SamplerOptions& options) {
  return std::make_unique<IPNDMScheduler>(plain_levels(config), options.schedule);
}

}  // namespace ldm
