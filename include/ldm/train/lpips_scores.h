#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "ldm/models/lpips.h"
#include "ldm/train/judgement_data.h"

namespace ldm::train {

/// Mean share of judges that agree with the distances d0 and d1 from the original; equal distances
/// count one half. All of one length, `judge` in [0, 1] (`lpips.score_2afc_dataset`). Error::input
/// for an empty set.
double score_2afc(const std::vector<double>& d0, const std::vector<double>& d1,
                  const std::vector<double>& judge);

/// Area under the precision-recall curve of finding the pairs judged the same by a small distance,
/// with the curve's upper envelope (`lpips.score_jnd_dataset`; Everingham et al. 2010). Equal
/// distances keep the set's order. Error::input where no pair was judged the same.
double score_jnd(const std::vector<double>& distances, const std::vector<double>& same);

/// Called with the items done so far.
using ScoreProgress = std::function<void(std::int64_t done)>;

/// The scores of a network on a set, `batch_size` items at a time, without gradients.
double evaluate_2afc(const models::LPIPS& lpips, const TwoAfcData& data, std::int64_t batch_size,
                     const ScoreProgress& progress = {});
double evaluate_jnd(const models::LPIPS& lpips, const JndData& data, std::int64_t batch_size,
                    const ScoreProgress& progress = {});

}  // namespace ldm::train
