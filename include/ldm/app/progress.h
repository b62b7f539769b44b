#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "ldm/app/console.h"
#include "ldm/app/time_left.h"
#include "ldm/loading/open.h"
#include "ldm/pipeline/pipeline.h"

namespace ldm::app {

/// What a run is doing just now and how fast; figures that are not known yet are empty.
struct ProgressState {
  int image = 1;   ///< 1-based, the first of the batch being computed
  int images = 1;  ///< of the whole run
  int batch = 1;   ///< images computed together
  int step = 0;    ///< UNet calls done in this batch
  int steps = 1;   ///< UNet calls a batch
  bool decoding = false;
  bool second_pass = false;       ///< whether the step is the second pass's
  double step_s = 0;              ///< seconds of the last UNet call
  std::optional<double> image_s;  ///< seconds a picture, on the average of the run
  std::optional<double> left_s;   ///< until the run ends
  double rss_bytes = 0;           ///< memory in use; 0: not shown
  double peak_rss_bytes = 0;
};

/// What a call will make, within the whole run.
struct CallWork {
  PictureCost picture;  ///< of each of its pictures
  PictureCost left;     ///< of all pictures of the run that are not there yet
  int pictures = 1;     ///< that the call makes
  int images = 1;       ///< of the whole run
  int done = 0;         ///< of them are there
  int waiting = 0;      ///< of them are computed, and still being decoded, encoded or kept
};

/// "1:02:03" or "4:05".
std::string clock_text(double seconds);

/// "2.1 s/image", or "75 images/min" for fast ones.
std::string image_rate_text(double seconds_per_image);

/// One line of at most `columns` characters: image, bar, step, speed, memory, time left; a narrow
/// one leaves out the bar, then memory, then the pictures' speed.
std::string progress_line(const ProgressState& state, std::size_t columns);

/// Follows a run and foretells its end: on a terminal one line redrawn in place, elsewhere one line
/// an image.
class ProgressMeter {
 public:
  /// `shown` false keeps silent.
  ProgressMeter(Console& console, bool shown);
  /// Weights that the run will read, by component.
  void expect_loads(const std::map<std::string, double>& parameters);
  /// Says on a terminal what the wait before the first step is for.
  void on_start(const std::string& model_name);

  /// A call begins.
  void begin(const CallWork& work);
  void on_load(const LoadInfo& info);
  void on_stage(RunStage stage);
  void on_step(const StepInfo& info);
  void on_image(const ImageResult& result, const std::filesystem::path& path);
  void finish();

  const ProgressState& state() const { return state_; }
  /// Seconds that the last picture took: since the one before it, or since its call began where
  /// none was waiting then.
  double image_seconds() const { return image_seconds_; }

 private:
  using Clock = std::chrono::steady_clock;
  double since_mark();
  void redraw();

  Console& console_;
  bool shown_;
  bool terminal_;
  std::string model_;
  std::map<std::string, double> parameters_;
  TimeLeft time_left_;
  ProgressState state_;
  int done_ = 0;    ///< pictures that are there
  int before_ = 0;  ///< that are there or wait, before the current call
  int made_ = 0;    ///< by this run
  int in_call_ = 1;
  double busy_s_ = 0;
  double image_seconds_ = 0;
  RunStage stage_ = RunStage::kText;
  double loads_s_ = 0;  ///< spent on weights since the mark
  Clock::time_point mark_;
  Clock::time_point image_mark_;
};

}  // namespace ldm::app
