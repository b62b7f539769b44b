#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <future>
#include <mutex>
#include <thread>

#include "ldm/core/error.h"
#include "ldm/train/process_group.h"

namespace ldm::train {

/// A group whose operations run one after the other on a thread of its own, so that they go on
/// while the caller computes. Derived classes say what an operation is; all its functions below
/// run on that thread, which is the only one that ever talks to the other ranks.
class QueuedGroup : public ProcessGroup {
 public:
  QueuedGroup(int rank, int size, std::string name, std::chrono::milliseconds timeout);
  ~QueuedGroup() override;

  std::shared_ptr<Work> all_reduce_sum(at::Tensor& tensor) override;
  std::shared_ptr<Work> broadcast(at::Tensor& tensor, int root) override;
  void barrier() override;
  void close() override;

 protected:
  virtual void do_sum(at::Tensor& tensor) = 0;
  virtual void do_broadcast(at::Tensor& tensor, int root) = 0;
  virtual void do_barrier() = 0;
  /// The agreed end, after a last barrier.
  virtual void do_close() = 0;
  /// The end without the others, as far as they can be told; on the caller's thread, when the
  /// group's has ended.
  virtual void do_abandon() noexcept = 0;

  /// First line of every derived destructor: closes, or abandons the run if an exception passes.
  void end() noexcept;
  /// Runs `step` on the group's thread and waits for it.
  void run(std::function<void()> step);

  /// The error for a run that cannot go on, with the way to continue it.
  Error lost(const std::string& why) const;
  /// The same for what libtorch threw.
  virtual Error lost_to_library(const std::string& why) const;

  /// Calls `done` until it gives true, at first often, then every few milliseconds. Throws what
  /// `late` makes when the timeout has passed, or `lost` when this rank leaves.
  void poll(const std::function<bool()>& done, const std::function<Error()>& late) const;

 private:
  std::shared_future<void> submit(std::function<void()> step);
  void work();
  void stop_thread();

  std::chrono::milliseconds timeout_;
  int exceptions_;  ///< that were passing when the group was made
  bool closed_ = false;
  std::atomic<bool> leaving_{false};
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::packaged_task<void()>> queue_;
  bool stop_ = false;
  std::exception_ptr broken_;  ///< the first failure; only the group's thread touches it
  std::thread thread_;
};

}  // namespace ldm::train
