#pragma once

namespace ldm {

/// The x in [0, 1] below which Beta(a, b) has the probability p (scipy.stats.beta.ppf); a, b > 0.
double beta_quantile(double p, double a, double b);

}  // namespace ldm
