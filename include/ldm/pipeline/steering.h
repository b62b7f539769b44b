#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ldm/pipeline/request.h"

namespace ldm {

struct Components;

/// What of a request's guidance interval, FreeU, DeepCache and perturbed attention cannot work with
/// a model.
std::vector<std::string> steering_faults(const Request& request, const Components& components);

/// What a plan changes inside the denoiser while its pictures are made: FreeU and, for one call at
/// a time, DeepCache and perturbed attention. The denoiser is as before when the object goes.
class Steering {
 public:
  Steering(Components& components, const Plan& plan);
  ~Steering();
  Steering(const Steering&) = delete;
  Steering& operator=(const Steering&) = delete;

  /// Lets the last of `parts` equal parts of each batch attend to nothing but itself from now on;
  /// 0: none.
  void perturb_last_of(std::int64_t parts) const;
  /// UNet call number `call` for the `part`-th part of the batch, of so many rows, comes next: it
  /// leaves its deep feature for later ones, or takes the one that is there.
  void expect_call(int call, std::size_t part, std::int64_t rows) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ldm
