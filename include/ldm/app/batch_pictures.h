#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "ldm/app/batch_run.h"
#include "ldm/app/picture_queue.h"

namespace ldm::app {

/// Computes a batch's pictures and keeps them.
class BatchPictures {
 public:
  explicit BatchPictures(BatchRun& run);

  /// Makes the tasks of these numbers, those of a kind together, but for what other processes make.
  /// Throws what ends the run; what is finished by then is kept.
  void make(const std::vector<std::size_t>& missing);

  /// Keeps what is finished and throws that a signal ended the run.
  [[noreturn]] void throw_stopped();

 private:
  void make_group(std::vector<std::size_t> group);
  void make_alone(const std::vector<std::size_t>& group, const Error& error);
  void compute(const std::vector<std::size_t>& group);
  RunCallbacks callbacks(const std::vector<std::size_t>& group, std::vector<PreparedTask> prepared);
  void fail(std::size_t number, const Error& error);
  void settle();
  void finish_picture(const PreparedTask& prepared, std::size_t number, ImageResult&& image);
  void keep_picture(const Task& done, const ImageResult& result, const std::vector<std::byte>& png);
  void check_time(std::size_t pictures);

  BatchRun& run_;
  PictureCost left_;            ///< work for what is not there yet
  double picture_seconds_ = 0;  ///< the slowest so far
  bool weights_checked_ = false;
  std::optional<Error> failure_;  ///< of a picture, which ends the run
  PictureQueue finishing_;
};

}  // namespace ldm::app
