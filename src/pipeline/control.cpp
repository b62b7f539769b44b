#include "ldm/pipeline/control.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <c10/core/InferenceMode.h>

#include <cmath>

#include "ldm/core/text.h"
#include "ldm/io/canny.h"
#include "ldm/io/resize.h"
#include "ldm/loading/components.h"
#include "ldm/pipeline/autoencoding.h"

namespace ldm {
namespace {

/// [1, 3, height, width] in [0, 1].
at::Tensor control_pixels(const ControlImage& control, const Request& request) {
  const Image& image = *control.image;
  if (!control.canny) return (fitted_pixels(image, request.width, request.height) + 1) / 2;
  const bool fits = image.width == request.width && image.height == request.height;
  const Image resized = fits ? image : resize_lanczos(image, request.width, request.height);
  const Image edges = canny_edges(resized, control.canny->low, control.canny->high);
  return (fitted_pixels(edges, request.width, request.height) + 1) / 2;
}

}  // namespace

std::vector<std::string> control_faults(const Request& request, const Components& c) {
  std::vector<std::string> faults;
  const std::size_t nets = c.controlnets.size();
  const std::size_t pictures = request.control_images.size();
  if (nets != pictures) {
    faults.push_back(cat(nets, nets == 1 ? " ControlNet needs" : " ControlNets need",
                         " as many control pictures, found ", pictures));
  }
  if (!(request.control_start >= 0 && request.control_start <= request.control_end &&
        request.control_end <= 1)) {
    faults.push_back(cat("control_start ", request.control_start, " and control_end ",
                         request.control_end, " are not in order within 0…1"));
  }
  return faults;
}

bool controls_at(const Plan& plan, int call) {
  const double calls = plan.steps;
  return !(call / calls < plan.request.control_start ||
           (call + 1) / calls > plan.request.control_end);
}

struct Control::Impl {
  const Plan* plan = nullptr;
  std::vector<const ControlNetPart*> nets;
  std::vector<at::Tensor> controls;  ///< embedded
};

Control::Control(Components& c, const Plan& plan) : impl_(std::make_unique<Impl>()) {
  impl_->plan = &plan;
  for (std::size_t i = 0; i < plan.request.control_images.size(); ++i) {
    ControlNetPart& part = *c.controlnets.at(i);
    part.net.load();
    const c10::InferenceMode inference;
    const Execution& execution = part.net.execution();
    const at::Tensor pixels = control_pixels(plan.request.control_images[i], plan.request);
    impl_->nets.push_back(&part);
    impl_->controls.push_back(part.net.bare().embed_control(
        pixels.to(execution.device, execution.dtype).contiguous(execution.memory_format)));
  }
}

Control::~Control() = default;

nn::UNetResiduals Control::residuals(const at::Tensor& sample, double timestep,
                                     const at::Tensor& context, int call) const {
  nn::UNetResiduals sum;
  if (!controls_at(*impl_->plan, call)) return sum;
  const at::Tensor step = at::full({}, timestep, sample.options().dtype(at::kFloat));
  for (std::size_t i = 0; i < impl_->nets.size(); ++i) {
    const ControlNetPart& part = *impl_->nets[i];
    const models::ControlNetModelImpl& net = part.net.bare();
    const at::Tensor latents =
        sample.narrow(1, 0, net.config.in_channels).contiguous(part.net.execution().memory_format);
    sum =
        nn::add_residuals(sum, net.forward(latents, step, context, impl_->controls[i], part.scale));
  }
  return sum;
}

}  // namespace ldm
