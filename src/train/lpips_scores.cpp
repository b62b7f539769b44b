#include "ldm/train/lpips_scores.h"

#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <numeric>

#include "ldm/core/error.h"

namespace ldm::train {
namespace {

void append(std::vector<double>& values, const at::Tensor& tensor) {
  const at::Tensor plain = tensor.to(at::kCPU, at::kDouble).contiguous();
  const auto* data = plain.const_data_ptr<double>();
  values.insert(values.end(), data, data + plain.numel());
}

/// Calls `use` with the numbers of each batch of `size` items.
template <class Use>
void each_batch(std::int64_t size, std::int64_t batch_size, const ScoreProgress& progress,
                const Use& use) {
  const c10::AutoGradMode no_grad(false);
  for (std::int64_t begin = 0; begin < size; begin += batch_size) {
    std::vector<std::int64_t> items(static_cast<std::size_t>(std::min(batch_size, size - begin)));
    std::iota(items.begin(), items.end(), begin);
    use(std::span<const std::int64_t>(items));
    if (progress) progress(begin + static_cast<std::int64_t>(items.size()));
  }
}

}  // namespace

double score_2afc(const std::vector<double>& d0, const std::vector<double>& d1,
                  const std::vector<double>& judge) {
  if (judge.empty()) throw Error::input("no judgements to score");
  double sum = 0;
  for (std::size_t i = 0; i < judge.size(); ++i) {
    sum += d0[i] < d1[i] ? 1.0 - judge[i] : d1[i] < d0[i] ? judge[i] : 0.5;
  }
  return sum / static_cast<double>(judge.size());
}

double score_jnd(const std::vector<double>& distances, const std::vector<double>& same) {
  const double positives = std::accumulate(same.begin(), same.end(), 0.0);
  if (!(positives > 0)) {
    throw Error::input("no pair of the set was judged the same, so there is nothing to find",
                       "add pairs with small differences");
  }
  std::vector<std::size_t> order(distances.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&distances](std::size_t a, std::size_t b) {
    return distances[a] < distances[b];
  });
  std::vector<double> precision;
  std::vector<double> gain;  // in recall
  double found = 0;
  for (const std::size_t i : order) {
    found += same[i];
    precision.push_back(found / static_cast<double>(precision.size() + 1));
    gain.push_back(same[i] / positives);
  }
  double area = 0;
  double envelope = 0;
  for (std::size_t i = precision.size(); i-- > 0;) {
    envelope = std::max(envelope, precision[i]);
    area += gain[i] * envelope;
  }
  return area;
}

double evaluate_2afc(const models::LPIPS& lpips, const TwoAfcData& data, std::int64_t batch_size,
                     const ScoreProgress& progress) {
  std::vector<double> d0, d1, judge;
  each_batch(data.size(), batch_size, progress, [&](std::span<const std::int64_t> items) {
    const TwoAfcBatch batch = data.batch(items);
    append(d0, lpips->forward(batch.ref, batch.p0));
    append(d1, lpips->forward(batch.ref, batch.p1));
    append(judge, batch.judge);
  });
  return score_2afc(d0, d1, judge);
}

double evaluate_jnd(const models::LPIPS& lpips, const JndData& data, std::int64_t batch_size,
                    const ScoreProgress& progress) {
  std::vector<double> distances, same;
  each_batch(data.size(), batch_size, progress, [&](std::span<const std::int64_t> items) {
    const JndBatch batch = data.batch(items);
    append(distances, lpips->forward(batch.p0, batch.p1));
    append(same, batch.same);
  });
  return score_jnd(distances, same);
}

}  // namespace ldm::train
