#pragma once

#include <cstdint>
#include <memory>

namespace at {
class Tensor;
}

namespace ldm {

struct Components;

/// What a denoiser takes of each step of a schedule, made once for all pictures.
class TimeEmbeddings {
 public:
  TimeEmbeddings();
  ~TimeEmbeddings();

  /// DenoiserImpl::embed of a time step in training steps for so many rows; with class labels,
  /// which may be undefined, made anew.
  at::Tensor embed(Components& components, std::int64_t rows, double timestep,
                   const at::Tensor& class_labels);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ldm
