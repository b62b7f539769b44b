#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ldm/pipeline/request.h"

namespace at {
class Tensor;
}

namespace ldm {

struct Components;
namespace nn {
struct UNetResiduals;
}

/// What of a request's control pictures cannot work with the ControlNets that the model was opened
/// with.
std::vector<std::string> control_faults(const Request& request, const Components& components);

/// Whether ControlNets run at UNet call `call` of `plan`: the definition of diffusers' pipelines.
bool controls_at(const Plan& plan, int call);

/// A plan's control pictures, as its ControlNets see them.
class Control {
 public:
  /// Reads the ControlNets' weights, and each its picture.
  Control(Components& components, const Plan& plan);
  ~Control();

  /// What all ControlNets add to the UNet in one call, summed: latents [B, C, h, w] and more
  /// channels, which are left out, `timestep` in training steps, context [k·B, S, D]. Nothing
  /// outside their share of the run.
  nn::UNetResiduals residuals(const at::Tensor& sample, double timestep, const at::Tensor& context,
                              int call) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ldm
