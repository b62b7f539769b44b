#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <string>

#include "ldm/app/console.h"
#include "ldm/pipeline/pipeline.h"

namespace ldm::app {

/// Where a run stands.
struct ProgressState {
  int image = 1;        ///< 1-based, the first of the batch being computed
  int images = 1;       ///< of the whole run
  int batch = 1;        ///< images computed together
  int step = 0;         ///< UNet calls done in this batch
  int steps = 1;        ///< UNet calls a batch
  int images_done = 0;  ///< decoded and written
  double step_s = 0;    ///< seconds a step, smoothed
  double decode_s = 0;  ///< seconds to decode and write one image; 0 before the first
};

/// Seconds until the run ends: steps left in this and further batches, and images to decode. Before
/// the first decode one is taken to cost two steps of one image.
double seconds_left(const ProgressState& state);

/// "1:02:03" or "4:05".
std::string clock_text(double seconds);

/// One line of at most `columns` characters: image, bar, step, seconds a step, time left.
std::string progress_line(const ProgressState& state, std::size_t columns);

/// Follows a run: on a terminal one line redrawn in place, elsewhere one line an image.
class ProgressMeter {
 public:
  /// `shown` false keeps silent.
  ProgressMeter(Console& console, const Plan& plan, bool shown);
  /// The run is of `images` pictures, `done` of which are there: what follows comes after them.
  void expect(int images, int done);
  /// Says on a terminal what the wait before the first step is for.
  void on_start(const std::string& model_name);
  void on_step(const StepInfo& info);
  void on_image(const ImageResult& result, const std::filesystem::path& path);
  void finish();

 private:
  using Clock = std::chrono::steady_clock;
  Console& console_;
  bool shown_;
  bool terminal_;
  ProgressState state_;
  int before_ = 0;  ///< pictures before those of the current call
  Clock::time_point last_;
  Clock::time_point last_image_;
};

}  // namespace ldm::app
