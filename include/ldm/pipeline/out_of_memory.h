#pragma once

#include <exception>
#include <limits>

#include "ldm/core/error.h"
#include "ldm/pipeline/request.h"

namespace ldm {

struct Execution;

/// Bytes that can still be had where the model is.
double free_bytes(const Execution& execution);

/// Whether an exception says that memory could not be had: std::bad_alloc, libtorch's and oneDNN's
/// errors, a thread that could not be started.
bool is_out_of_memory(const std::exception& error);

/// Error::memory with what one image of the plan needs and what is free.
Error out_of_memory(const Plan& plan, const Execution& execution);

/// How much is computed at once. It shrinks when memory runs out and never grows again; what a
/// picture shows does not depend on it.
class MemoryLimits {
 public:
  /// Images of a plan to compute together, at most `wished`.
  int images(const Plan& plan, int wished) const;
  /// Whether each part of the model is let go as soon as it is done.
  bool lean() const { return lean_; }
  /// After `images` of the plan were too many: half of them from now on, and of one: lean. False
  /// when nothing smaller is left.
  bool shrink(const Plan& plan, int images);
  /// From now on lean; false when it was already.
  bool make_lean();

 private:
  double most_values_ = std::numeric_limits<double>::infinity();  ///< of latents, all branches
  bool lean_ = false;
};

}  // namespace ldm
