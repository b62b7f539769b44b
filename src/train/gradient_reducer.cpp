#include "ldm/train/gradient_reducer.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/grad_mode.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <mutex>
#include <utility>

#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm::train {
namespace {

/// What a gradient of this dtype is added up in.
c10::ScalarType sum_dtype(const at::Tensor& parameter) {
  switch (parameter.scalar_type()) {
    case c10::kFloat:
    case c10::kHalf:
    case c10::kBFloat16:
      return c10::kFloat;
    case c10::kDouble:
      return c10::kDouble;
    default:
      throw Error::internal(cat("no gradients are averaged for ", parameter.toString()));
  }
}

struct Slot {
  at::Tensor parameter;
  std::size_t bucket = 0;
  std::int64_t offset = 0;  ///< of its gradient in the bucket's numbers
  bool ready = false;
};

struct Bucket {
  std::vector<std::size_t> slots;
  std::int64_t gradient_count = 0;
  /// All gradients, then for each slot how many ranks have one.
  at::Tensor numbers;
  std::size_t missing = 0;
  std::shared_ptr<Work> work;
};

}  // namespace

struct GradientReducer::State {
  State(const std::vector<at::Tensor>& parameters, std::shared_ptr<ProcessGroup> of,
        std::size_t bucket_bytes);
  void begin();
  void on_gradient(std::size_t index);
  void start_next();
  void finish();
  void write_back(const Bucket& bucket);

  std::shared_ptr<ProcessGroup> group;
  std::vector<Slot> slots;
  std::vector<Bucket> buckets;
  std::mutex mutex;  ///< backward may run on several threads
  bool armed = false;
  std::size_t next = 0;  ///< the first bucket that is not on its way
};

/// Tells the state that a parameter's gradient has been accumulated.
class GradientReducer::Hook final : public torch::autograd::PostAccumulateGradHook {
 public:
  Hook(std::weak_ptr<State> state, std::size_t index) : state_(std::move(state)), index_(index) {}
  void operator()(const torch::autograd::Variable& /*parameter*/) override {
    if (const std::shared_ptr<State> state = state_.lock()) state->on_gradient(index_);
  }

 private:
  std::weak_ptr<State> state_;
  std::size_t index_;
};

GradientReducer::State::State(const std::vector<at::Tensor>& parameters,
                              std::shared_ptr<ProcessGroup> of, std::size_t bucket_bytes)
    : group(std::move(of)) {
  for (auto parameter = parameters.rbegin(); parameter != parameters.rend(); ++parameter) {
    if (!parameter->requires_grad()) continue;
    const at::TensorOptions options = parameter->options().dtype(sum_dtype(*parameter));
    const std::size_t bytes =
        static_cast<std::size_t>(parameter->numel()) * options.dtype().itemsize();
    const Bucket* last = buckets.empty() ? nullptr : &buckets.back();
    const bool fits =
        last != nullptr && last->numbers.device() == options.device() &&
        last->numbers.dtype() == options.dtype() &&
        static_cast<std::size_t>(last->gradient_count) * options.dtype().itemsize() + bytes <=
            bucket_bytes;
    if (!fits) {
      buckets.emplace_back();
      // Holds dtype and device until the size is known.
      buckets.back().numbers = at::zeros({0}, options.requires_grad(false));
    }
    Bucket& bucket = buckets.back();
    bucket.slots.push_back(slots.size());
    slots.push_back({*parameter, buckets.size() - 1, bucket.gradient_count, false});
    bucket.gradient_count += parameter->numel();
  }
  for (Bucket& bucket : buckets) {
    const auto flags = static_cast<std::int64_t>(bucket.slots.size());
    bucket.numbers = at::zeros({bucket.gradient_count + flags}, bucket.numbers.options());
  }
}

void GradientReducer::State::begin() {
  const std::lock_guard lock(mutex);
  if (armed) throw Error::internal("GradientReducer::begin called twice without finish");
  armed = true;
  for (Slot& slot : slots) slot.ready = false;
  for (Bucket& bucket : buckets) bucket.missing = bucket.slots.size();
}

void GradientReducer::State::on_gradient(std::size_t index) {
  const std::lock_guard lock(mutex);
  if (!armed) return;
  Slot& slot = slots[index];
  Bucket& bucket = buckets[slot.bucket];
  if (slot.bucket < next) {
    throw Error::internal(
        cat("backward accumulates the gradient of a parameter of shape ", slot.parameter.sizes(),
            " again after it was sent; finish without begin where parameters are used twice"));
  }
  if (slot.ready) return;
  slot.ready = true;
  --bucket.missing;
  while (next < buckets.size() && buckets[next].missing == 0) start_next();
}

void GradientReducer::State::start_next() {
  const torch::NoGradGuard no_grad;
  Bucket& bucket = buckets[next++];
  std::int64_t flag = bucket.gradient_count;
  for (const std::size_t index : bucket.slots) {
    const Slot& slot = slots[index];
    const at::Tensor& gradient = slot.parameter.grad();
    const at::Tensor place = bucket.numbers.narrow(0, slot.offset, slot.parameter.numel());
    if (gradient.defined()) {
      place.view(slot.parameter.sizes()).copy_(gradient);
    } else {
      place.zero_();
    }
    bucket.numbers.narrow(0, flag++, 1).fill_(gradient.defined() ? 1 : 0);
  }
  bucket.work = group->all_reduce_sum(bucket.numbers);
}

void GradientReducer::State::finish() {
  const std::lock_guard lock(mutex);
  while (next < buckets.size()) start_next();
  for (const Bucket& bucket : buckets) {
    bucket.work->wait();
    write_back(bucket);
  }
  next = 0;
  armed = false;
}

void GradientReducer::State::write_back(const Bucket& bucket) {
  const torch::NoGradGuard no_grad;
  const auto flags = static_cast<std::int64_t>(bucket.slots.size());
  const at::Tensor owners =
      bucket.numbers.narrow(0, bucket.gradient_count, flags).cpu().to(c10::kDouble);
  bucket.numbers.div_(group->size());
  for (std::size_t i = 0; i < bucket.slots.size(); ++i) {
    const Slot& slot = slots[bucket.slots[i]];
    if (owners.const_data_ptr<double>()[i] == 0) continue;
    const at::Tensor mean =
        bucket.numbers.narrow(0, slot.offset, slot.parameter.numel()).view(slot.parameter.sizes());
    at::Tensor& gradient = slot.parameter.mutable_grad();
    if (gradient.defined()) {
      gradient.copy_(mean);
    } else {
      gradient = mean.to(slot.parameter.scalar_type(), false, true);
    }
  }
}

GradientReducer::GradientReducer(const std::vector<at::Tensor>& parameters,
                                 std::shared_ptr<ProcessGroup> group, std::size_t bucket_bytes) {
  const bool alone = group->size() == 1;
  state_ = std::make_shared<State>(alone ? std::vector<at::Tensor>{} : parameters, std::move(group),
                                   bucket_bytes);
  namespace impl = torch::autograd::impl;
  for (const Slot& slot : state_->slots) {
    if (impl::post_acc_grad_hooks(slot.parameter) != nullptr) {
      throw Error::internal("a parameter belongs to two gradient reducers");
    }
  }
  for (std::size_t i = 0; i < state_->slots.size(); ++i) {
    impl::set_post_acc_grad_hooks(state_->slots[i].parameter, std::make_unique<Hook>(state_, i));
  }
}

GradientReducer::~GradientReducer() {
  for (const Slot& slot : state_->slots) {
    torch::autograd::impl::set_post_acc_grad_hooks(slot.parameter, nullptr);
  }
}

void GradientReducer::begin() {
  if (!state_->slots.empty()) state_->begin();
}

void GradientReducer::finish() { state_->finish(); }

std::size_t GradientReducer::bucket_count() const { return state_->buckets.size(); }

}  // namespace ldm::train
