#include "ldm/schedulers/beta_quantile.h"

#include <cmath>

namespace ldm {
namespace {

constexpr int kMostTerms = 500;
constexpr int kHalvings = 200;
constexpr double kTiny = 1e-300;
constexpr double kPrecision = 1e-16;

double away_from_zero(double x) { return std::abs(x) < kTiny ? kTiny : x; }

/// The continued fraction of the incomplete beta function (NIST DLMF 8.17.22) by Lentz's method.
double beta_fraction(double x, double a, double b) {
  double c = 1;
  double d = 1 / away_from_zero(1 - (a + b) * x / (a + 1));
  double fraction = d;
  for (int m = 1; m < kMostTerms; ++m) {
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    for (const double term : {even, odd}) {
      d = 1 / away_from_zero(1 + term * d);
      c = away_from_zero(1 + term / c);
      fraction *= c * d;
    }
    if (std::abs(c * d - 1) < kPrecision) break;
  }
  return fraction;
}

/// The regularized incomplete beta function I_x(a, b).
double beta_probability(double x, double a, double b) {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  const double scale = std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) +
                                a * std::log(x) + b * std::log1p(-x));
  if (x < (a + 1) / (a + b + 2)) return scale * beta_fraction(x, a, b) / a;
  return 1 - scale * beta_fraction(1 - x, b, a) / b;
}

}  // namespace

double beta_quantile(double p, double a, double b) {
  if (p <= 0) return 0;
  if (p >= 1) return 1;
  double low = 0;
  double high = 1;
  for (int i = 0; i < kHalvings && high - low > kPrecision * high; ++i) {
    const double middle = (low + high) / 2;
    (beta_probability(middle, a, b) < p ? low : high) = middle;
  }
  return (low + high) / 2;
}

}  // namespace ldm
