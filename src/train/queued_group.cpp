#include "ldm/train/queued_group.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <utility>

#include "ldm/core/text.h"

namespace ldm::train {
namespace {

using Clock = std::chrono::steady_clock;

class QueuedWork final : public Work {
 public:
  explicit QueuedWork(std::shared_future<void> future) : future_(std::move(future)) {}
  void wait() override { future_.get(); }

 private:
  std::shared_future<void> future_;
};

void check_tensor(const at::Tensor& tensor, bool number_matters) {
  const c10::ScalarType type = tensor.scalar_type();
  const bool known =
      type == c10::kFloat || type == c10::kDouble || type == c10::kLong || !number_matters;
  if (!tensor.is_cpu() || !tensor.is_contiguous() || !known) {
    throw Error::internal(cat("this process group takes contiguous CPU tensors, not ",
                              tensor.toString(), " on ", tensor.device().str()));
  }
}

}  // namespace

QueuedGroup::QueuedGroup(int rank, int size, std::string name, std::chrono::milliseconds timeout)
    : ProcessGroup(rank, size, std::move(name)),
      timeout_(timeout),
      exceptions_(std::uncaught_exceptions()),
      thread_([this] { work(); }) {}

QueuedGroup::~QueuedGroup() { stop_thread(); }

std::shared_ptr<Work> QueuedGroup::all_reduce_sum(at::Tensor& tensor) {
  check_tensor(tensor, true);
  return std::make_shared<QueuedWork>(submit([this, held = tensor]() mutable { do_sum(held); }));
}

std::shared_ptr<Work> QueuedGroup::broadcast(at::Tensor& tensor, int root) {
  check_tensor(tensor, false);
  return std::make_shared<QueuedWork>(
      submit([this, held = tensor, root]() mutable { do_broadcast(held, root); }));
}

void QueuedGroup::barrier() {
  run([this] { do_barrier(); });
}

void QueuedGroup::close() {
  if (closed_) return;
  run([this] {
    do_barrier();
    do_close();
    broken_ = std::make_exception_ptr(Error::internal("the process group has been closed"));
  });
  closed_ = true;
}

void QueuedGroup::end() noexcept {
  const bool exception_passes = std::uncaught_exceptions() > exceptions_;
  if (!exception_passes) {
    try {
      close();
    } catch (const std::exception&) {
      // Whoever waited for the last operation has seen the error.
      closed_ = false;
    }
  }
  leaving_ = true;
  stop_thread();
  if (!closed_) do_abandon();
}

void QueuedGroup::run(std::function<void()> step) { submit(std::move(step)).get(); }

std::shared_future<void> QueuedGroup::submit(std::function<void()> step) {
  std::packaged_task<void()> task([this, step = std::move(step)] {
    if (broken_) std::rethrow_exception(broken_);
    try {
      step();
    } catch (const c10::Error& error) {
      broken_ = std::make_exception_ptr(lost_to_library(error.what_without_backtrace()));
      std::rethrow_exception(broken_);
    } catch (...) {
      broken_ = std::current_exception();
      throw;
    }
  });
  std::shared_future<void> future = task.get_future().share();
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(task));
  }
  wake_.notify_one();
  return future;
}

Error QueuedGroup::lost(const std::string& why) const {
  return Error::stopped(ErrorCode::kInternal,
                        cat("rank ", rank(), " of ", size(), " lost the run: ", why),
                        "see what the other ranks say, then start the run again with --resume");
}

Error QueuedGroup::lost_to_library(const std::string& why) const { return lost(why); }

void QueuedGroup::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stop_ || !queue_.empty(); });
    if (queue_.empty()) return;
    std::packaged_task<void()> task = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    task();
    lock.lock();
  }
}

void QueuedGroup::stop_thread() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void QueuedGroup::poll(const std::function<bool()>& done,
                       const std::function<Error()>& late) const {
  using std::chrono::microseconds;
  constexpr auto kEager = std::chrono::milliseconds(2);
  constexpr auto kShortest = microseconds(50);
  constexpr auto kLongest = microseconds(2000);
  const Clock::time_point start = Clock::now();
  while (!done()) {
    const auto waited = Clock::now() - start;
    if (leaving_) throw lost("it leaves because of an error of its own");
    if (waited > timeout_) throw late();
    // What computes gradients meanwhile needs the core more than a wait that is long already.
    if (waited < kEager) {
      std::this_thread::yield();
    } else {
      const auto part = std::chrono::duration_cast<microseconds>(waited) / 50;
      std::this_thread::sleep_for(std::clamp(part, kShortest, kLongest));
    }
  }
}

}  // namespace ldm::train
