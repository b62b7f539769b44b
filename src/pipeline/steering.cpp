#include "ldm/pipeline/steering.h"

#include <algorithm>
#include <cmath>

#include "ldm/core/text.h"
#include "ldm/loading/components.h"
#include "ldm/models/attention_layers.h"
#include "ldm/models/unet_2d_condition.h"

namespace ldm {
namespace {

/// "mid,up_blocks.1" in its parts.
std::vector<std::string> split_by_commas(const std::string& text) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == ',') {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

std::optional<nn::FreeU> lowest(const FreeUFactors& f) { return nn::FreeU{f.b1, f.s1}; }
std::optional<nn::FreeU> next(const FreeUFactors& f) { return nn::FreeU{f.b2, f.s2}; }

/// Whether a request listens to, or changes, what goes on deep inside the denoiser.
bool works_inside(const Request& request) {
  return request.pag_scale > 0 || !request.control_images.empty() || !request.heatmap.empty();
}

void check_deep_cache(const Request& request, bool serves, std::vector<std::string>& faults) {
  if (request.deep_cache < 1) faults.emplace_back("deep_cache must be 1 or more");
  if (request.deep_cache <= 1) return;
  if (!serves) faults.emplace_back("DeepCache works with UNets that see a text or a class only");
  if (works_inside(request) || request.sag_scale > 0) {
    faults.emplace_back(
        "DeepCache leaves out what perturbed and self-attention guidance, ControlNets and heat "
        "maps work with");
  }
}

void check_self_guidance(const Request& request, const Components& c,
                         std::vector<std::string>& faults) {
  constexpr int kLeastSide = 5 * 8;
  if (!(std::isfinite(request.sag_scale) && request.sag_scale >= 0)) {
    faults.emplace_back("sag_scale must be 0 or more");
  }
  if (!(request.sag_scale > 0)) return;
  if (models::self_attentions(c.unet.bare(), "mid").empty()) {
    faults.emplace_back("sag_scale: this model's middle has no self-attention");
  }
  if (works_inside(request)) {
    faults.emplace_back(
        "self-attention guidance works without perturbed attention, ControlNets and heat maps");
  }
  if (request.width != 0 && (request.width < kLeastSide || request.height < kLeastSide)) {
    faults.push_back(cat("self-attention guidance needs ", kLeastSide, " pixels a side"));
  }
}

}  // namespace

std::vector<std::string> steering_faults(const Request& request, const Components& c) {
  std::vector<std::string> faults;
  const double start = request.guidance_start;
  const double end = request.guidance_end;
  if (!(start >= 0 && start <= end && end <= 1)) {
    faults.push_back(cat("the guidance interval ", start, ",", end, " is not within 0…1"));
  }
  const auto* unet = dynamic_cast<const models::UNet2DConditionModelImpl*>(&c.unet.bare());
  if (request.freeu && unet == nullptr) {
    faults.emplace_back("FreeU works with UNets that see a text or a class only");
  }
  check_deep_cache(request, unet != nullptr, faults);
  check_self_guidance(request, c, faults);
  if (!(std::isfinite(request.pag_scale) && request.pag_scale >= 0)) {
    faults.emplace_back("pag_scale must be 0 or more");
  } else if (request.pag_scale > 0) {
    for (const std::string& part : split_by_commas(request.pag_layers)) {
      if (!part.empty() && !models::self_attentions(c.unet.bare(), part).empty()) continue;
      faults.push_back(cat("pag_layers: no self-attention of this model has \"", part,
                           "\" in its name (mid, up_blocks.1, down_blocks.2.attentions.0, …)"));
    }
  }
  return faults;
}

struct Steering::Impl {
  models::UNet2DConditionModelImpl* freeu = nullptr;  ///< null: no FreeU
  models::UNet2DConditionModelImpl* deep = nullptr;   ///< null: no DeepCache
  int deep_cache = 1;                                 ///< calls from one whole one to the next
  std::vector<nn::DeepFeature> deep_features;         ///< of the parts of a batch
  std::vector<models::AttentionLayer> perturbed;
};

Steering::Steering(Components& c, const Plan& plan) : impl_(std::make_unique<Impl>()) {
  const Request& request = plan.request;
  // Only the modules' structure: their weights need not be there.
  auto& unet = const_cast<models::DenoiserImpl&>(c.unet.bare());
  if (request.freeu) {
    impl_->freeu = dynamic_cast<models::UNet2DConditionModelImpl*>(&unet);
    if (impl_->freeu != nullptr) {
      impl_->freeu->set_freeu(lowest(*request.freeu), next(*request.freeu));
    }
  }
  if (request.deep_cache > 1) {
    impl_->deep = dynamic_cast<models::UNet2DConditionModelImpl*>(&unet);
    impl_->deep_cache = request.deep_cache;
  }
  if (!plan.perturbed()) return;
  for (const std::string& part : split_by_commas(request.pag_layers)) {
    for (const auto& layer : models::self_attentions(unet, part)) impl_->perturbed.push_back(layer);
  }
}

Steering::~Steering() {
  if (impl_->freeu != nullptr) impl_->freeu->set_freeu({}, {});
  if (impl_->deep != nullptr) impl_->deep->set_deep_feature(nullptr);
  perturb_last_of(0);
}

void Steering::expect_call(int call, std::size_t part, std::int64_t rows) const {
  if (impl_->deep == nullptr) return;
  std::vector<nn::DeepFeature>& features = impl_->deep_features;
  features.resize(std::max(features.size(), part + 1));
  nn::DeepFeature& feature = features[part];
  // Where guidance begins or ends, a call has other rows than the one before.
  feature.reuse =
      call % impl_->deep_cache != 0 && feature.hidden.defined() && feature.hidden.size(0) == rows;
  impl_->deep->set_deep_feature(&feature);
}

void Steering::perturb_last_of(std::int64_t parts) const {
  for (const models::AttentionLayer& perturbed : impl_->perturbed) {
    perturbed.layer->perturbed_parts = parts;
  }
}

}  // namespace ldm
