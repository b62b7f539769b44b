#include "ldm/pipeline/out_of_memory.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <cstdint>
#include <new>
#include <string_view>
#include <system_error>
#include <utility>

#include "ldm/core/device.h"
#include "ldm/core/execution.h"
#include "ldm/core/text.h"

namespace ldm {
namespace {

bool says_out_of_memory(std::string_view text) {
  // ATen's allocator, posix_memalign below it, oneDNN, whose own buffers come from malloc, and
  // CUDA's, of pinned memory and of its libraries.
  for (const std::string_view part :
       {"not enough memory", "can't allocate memory", "could not create a memory object",
        "could not execute a primitive", "could not create a primitive",
        "CUDA error: out of memory"}) {
    if (text.find(part) != std::string_view::npos) return true;
  }
  return false;
}

/// Values that the denoiser sees at once for an image.
double values_of(const Plan& plan) {
  double values = plan.most_branches();
  for (const std::int64_t size : plan.last_pass().latent_shape) values *= static_cast<double>(size);
  return values;
}

}  // namespace

double free_bytes(const Execution& execution) {
  const LdmCudaApi* cuda = execution.device.is_cuda() ? loaded_cuda() : nullptr;
  if (cuda == nullptr) return available_memory_bytes();
  std::uint64_t free = 0;
  std::uint64_t total = 0;
  cuda->device_memory(execution.device.index(), &free, &total);
  return static_cast<double>(free);
}

bool is_out_of_memory(const std::exception& error) {
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) return true;
  if (dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr) return true;
  if (const auto* system = dynamic_cast<const std::system_error*>(&error)) {
    return system->code() == std::errc::resource_unavailable_try_again ||
           system->code() == std::errc::not_enough_memory;
  }
  if (const auto* torch = dynamic_cast<const c10::Error*>(&error)) {
    return says_out_of_memory(torch->what_without_backtrace());
  }
  return dynamic_cast<const Error*>(&error) == nullptr && says_out_of_memory(error.what());
}

Error out_of_memory(const Plan& plan, const Execution& execution) {
  const Request& request = plan.last_pass().request;
  std::string hint = "use a smaller --width and --height, --low-memory, --batch-size 1";
  if (request.vae_tiling == VaeTiling::kAuto) hint += ", --vae-tiling on";
  if (execution.dtype == c10::ScalarType::Float) hint += ", --dtype bf16";
  return Error::memory(
      cat("out of memory on ", execution.device.str(), ": an image of ", request.width, "x",
          request.height, " needs about ", human_bytes(plan.memory_bytes), " in all, ",
          human_bytes(free_bytes(execution)), " more are free"),
      std::move(hint));
}

int MemoryLimits::images(const Plan& plan, int wished) const {
  const double most = std::min(most_values_ / values_of(plan), static_cast<double>(wished));
  return std::max(1, static_cast<int>(most));
}

bool MemoryLimits::shrink(const Plan& plan, int images) {
  if (images <= 1) return make_lean();
  most_values_ = values_of(plan) * (images / 2);
  return true;
}

bool MemoryLimits::make_lean() { return !std::exchange(lean_, true); }

}  // namespace ldm
