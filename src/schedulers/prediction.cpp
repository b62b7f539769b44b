#include "ldm/schedulers/prediction.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/abs.h>
#include <ATen/ops/clamp.h>
#include <ATen/ops/quantile.h>

#include <vector>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/schedulers/noise_schedule.h"

namespace ldm {

PredictionType parse_prediction_type(const std::string& name) {
  if (name == "epsilon") return PredictionType::kEpsilon;
  if (name == "v_prediction") return PredictionType::kVPrediction;
  if (name == "sample") return PredictionType::kSample;
  const std::vector<std::string> names = {"epsilon", "v_prediction", "sample"};
  throw Error::model(cat("prediction_type \"", name, "\" is not known"), did_you_mean(name, names));
}

at::Tensor predict_x0(PredictionType type, const at::Tensor& model_output, const at::Tensor& sample,
                      float alpha, float sigma) {
  switch (type) {
    case PredictionType::kEpsilon:
      return (sample - sigma * model_output) / alpha;
    case PredictionType::kVPrediction:
      return alpha * sample - sigma * model_output;
    case PredictionType::kSample:
      break;
  }
  return model_output;
}

at::Tensor predict_epsilon(PredictionType type, const at::Tensor& model_output,
                           const at::Tensor& sample, float alpha, float sigma) {
  switch (type) {
    case PredictionType::kSample:
      return (sample - alpha * model_output) / sigma;
    case PredictionType::kVPrediction:
      return alpha * model_output + sigma * sample;
    case PredictionType::kEpsilon:
      break;
  }
  return model_output;
}

at::Tensor predict_x0_at_sigma(PredictionType type, const at::Tensor& model_output,
                               const at::Tensor& sample, float sigma) {
  switch (type) {
    case PredictionType::kEpsilon:
      return sample - sigma * model_output;
    case PredictionType::kVPrediction: {
      const float scale = sigma * sigma + 1;
      return model_output * (-sigma / sqrt_fp32(scale)) + sample / scale;
    }
    case PredictionType::kSample:
      break;
  }
  return model_output;
}

at::Tensor threshold_sample(const at::Tensor& x0, double ratio, double max_value) {
  const at::Tensor flat = x0.reshape({x0.size(0), -1});
  const at::Tensor limit =
      at::clamp(at::quantile(at::abs(flat), ratio, 1), 1, max_value).unsqueeze(1);
  return (at::clamp(flat, -limit, limit) / limit).reshape(x0.sizes());
}

at::Tensor limit_x0(const SchedulerConfig& config, const at::Tensor& x0) {
  if (config.thresholding) {
    return threshold_sample(x0, config.dynamic_thresholding_ratio, config.sample_max_value);
  }
  if (config.clip_sample) return at::clamp(x0, -config.clip_sample_range, config.clip_sample_range);
  return x0;
}

}  // namespace ldm
