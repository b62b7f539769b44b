#include "ldm/app/time_left.h"

#include <algorithm>

namespace ldm::app {
namespace {

constexpr double kGuessedParametersPerSecond = 1e8;

}  // namespace

void WorkRate::note(double amount, double seconds, bool first) {
  if (amount <= 0) return;
  constexpr double kKeep = 0.8;  // slowly fading memory
  const double rate = seconds / amount;
  const bool fresh = !known_ || provisional_;
  seconds_per_unit_ = fresh ? rate : kKeep * seconds_per_unit_ + (1 - kKeep) * rate;
  provisional_ = first && !known_;
  known_ = true;
}

std::optional<double> WorkRate::seconds(double amount) const {
  if (!known_) return std::nullopt;
  return amount * seconds_per_unit_;
}

void TimeLeft::begin(const PictureCost& picture, const PictureCost& left, int later) {
  picture_ = picture;
  left_ = left;
  later_ = later;
}

void TimeLeft::loaded(double parameters, double seconds) {
  load_.note(parameters, seconds);
  load_left_ = std::max(0.0, load_left_ - parameters);
}

void TimeLeft::encoded(int pictures, double seconds) { text_.note(pictures, seconds); }

void TimeLeft::stepped(int of, int images, double seconds, bool second_pass) {
  const double pass = second_pass ? picture_.second : picture_.steps - picture_.second;
  const double work = pass * images / std::max(1, of);
  steps_.note(work, seconds, /*first=*/true);
  left_.steps = std::max(0.0, left_.steps - work);
}

void TimeLeft::decoded(double seconds) {
  decode_.note(picture_.decode, seconds);
  left_.decode = std::max(0.0, left_.decode - picture_.decode);
}

double TimeLeft::load_seconds() const {
  return load_.seconds(load_left_).value_or(load_left_ / kGuessedParametersPerSecond);
}

std::optional<double> TimeLeft::seconds() const {
  const std::optional<double> steps = steps_.seconds(left_.steps);
  if (!steps) return std::nullopt;
  const std::optional<double> decode = decode_.seconds(left_.decode);
  const double text = text_.seconds(later_).value_or(0);
  return *steps + decode.value_or(steps_.seconds(left_.decode).value_or(0)) + text + load_seconds();
}

}  // namespace ldm::app
