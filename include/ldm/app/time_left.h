#pragma once

#include <optional>

#include "ldm/pipeline/pipeline.h"

namespace ldm::app {

/// Work of one kind whose speed is learned while it is done.
class WorkRate {
 public:
  /// `amount` of it took `seconds`. `first` carries one-time costs: it counts until there is a
  /// second.
  void note(double amount, double seconds, bool first = false);
  /// Seconds for an amount; empty before any was noted.
  std::optional<double> seconds(double amount) const;

 private:
  double seconds_per_unit_ = 0;
  bool known_ = false;
  bool provisional_ = false;
};

/// Foretells when a run ends, stage by stage: weights by their parameters, UNet calls and decoding
/// by their operations, so that jobs of several sizes are weighed, and each picture's text.
class TimeLeft {
 public:
  void expect_load(double parameters) { load_left_ += parameters; }
  /// A call begins: pictures of `picture`'s cost each. `left` is the work of the whole run from now
  /// on, `later` counts the pictures of later calls.
  void begin(const PictureCost& picture, const PictureCost& left, int later);

  void loaded(double parameters, double seconds);
  /// The text of as many pictures.
  void encoded(int pictures, double seconds);
  /// One UNet call of `of` for `images` pictures, in the first or the second pass.
  void stepped(int of, int images, double seconds, bool second_pass = false);
  void decoded(double seconds);

  /// Of the weights that are still to be read. Before any was, 4 GB of fp32 are taken to need 10 s.
  double load_seconds() const;
  /// Of everything; empty before the first UNet call. Before the first decoding its operations are
  /// taken to be as fast as those of the UNet.
  std::optional<double> seconds() const;

 private:
  PictureCost left_;
  PictureCost picture_;
  int later_ = 0;
  double load_left_ = 0;
  WorkRate load_;
  WorkRate text_;
  WorkRate steps_;
  WorkRate decode_;
};

}  // namespace ldm::app
