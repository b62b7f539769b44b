#include "ldm/pipeline/finite_watch.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/isfinite.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <utility>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/pipeline/image_tensor.h"

namespace ldm {
namespace {

void judge(bool finite, int step) {
  if (finite) return;
  throw Error::non_finite(cat("the latents at step ", step, " became NaN or Inf"),
                          "try --dtype fp32, or bf16 in place of fp16");
}

}  // namespace

/// The verdict on a step, on its way from the GPU.
struct FiniteWatch::Pending {
  Pending(const at::Tensor& latents, int number)
      : verdict(on_its_way_to_host(at::isfinite(latents).all())),
        done(latents.device().type()),
        step(number) {
    done.record(c10::impl::VirtualGuardImpl(latents.device().type()).getStream(latents.device()));
  }

  void wait() {
    done.synchronize();
    judge(verdict.item<bool>(), step);
  }

  at::Tensor verdict;
  c10::Event done;
  int step;
};

FiniteWatch::FiniteWatch() = default;
FiniteWatch::~FiniteWatch() = default;

void FiniteWatch::add(const at::Tensor& latents, int step) {
  if (latents.device().is_cpu()) return judge(all_finite(latents), step);
  const auto before = std::exchange(pending_, std::make_unique<Pending>(latents, step));
  if (before) before->wait();
}

void FiniteWatch::finish() {
  if (const auto last = std::exchange(pending_, nullptr)) last->wait();
}

}  // namespace ldm
