#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/train/process_group.h"

namespace ldm::test {

/// Where the ranks of a run of threads meet. Operations are matched by their number.
struct Hub {
  struct Meeting {
    std::vector<at::Tensor> tensors;
    int root = -1;  ///< of a broadcast; -1: a sum
    int arrived = 0;
    bool done = false;
  };
  std::mutex mutex;
  std::condition_variable wake;
  std::map<int, Meeting> meetings;
  bool failed = false;  ///< a rank has ended by an exception: none waits for it
};

/// A rank that is a thread of this process; sums are made when the last rank comes.
class ThreadGroup final : public train::ProcessGroup {
 public:
  ThreadGroup(int rank, int size, std::shared_ptr<Hub> hub)
      : ProcessGroup(rank, size, "threads"), hub_(std::move(hub)) {}

  std::shared_ptr<train::Work> all_reduce_sum(at::Tensor& tensor) override {
    sums.push_back(tensor.numel());
    if (on_sum) on_sum();
    return meet(tensor, -1);
  }
  std::shared_ptr<train::Work> broadcast(at::Tensor& tensor, int root) override {
    return meet(tensor, root);
  }
  void barrier() override {
    at::Tensor nothing;
    meet(nothing, 0)->wait();
  }

  std::vector<std::int64_t> sums;  ///< numbers in each sum so far, in order
  std::function<void()> on_sum;    ///< called before each

 private:
  struct Arrived final : train::Work {
    Arrived(std::shared_ptr<Hub> hub, int number) : hub_(std::move(hub)), number_(number) {}
    void wait() override {
      std::unique_lock lock(hub_->mutex);
      hub_->wake.wait(lock, [this] { return hub_->failed || hub_->meetings[number_].done; });
      if (!hub_->meetings[number_].done) throw std::runtime_error("another rank has failed");
    }
    std::shared_ptr<Hub> hub_;
    int number_;
  };

  std::shared_ptr<train::Work> meet(const at::Tensor& tensor, int root) {
    const std::lock_guard lock(hub_->mutex);
    Hub::Meeting& meeting = hub_->meetings[number_];
    meeting.tensors.resize(static_cast<std::size_t>(size()));
    meeting.tensors[static_cast<std::size_t>(rank())] = tensor;
    meeting.root = root;
    if (++meeting.arrived == size()) {
      if (tensor.defined()) combine(meeting);
      meeting.done = true;
      hub_->wake.notify_all();
    }
    return std::make_shared<Arrived>(hub_, number_++);
  }

  static void combine(Hub::Meeting& meeting) {
    at::Tensor result =
        meeting.tensors[static_cast<std::size_t>(std::max(meeting.root, 0))].clone();
    for (std::size_t i = 1; meeting.root < 0 && i < meeting.tensors.size(); ++i) {
      result.add_(meeting.tensors[i]);
    }
    for (at::Tensor& tensor : meeting.tensors) tensor.copy_(result);
  }

  std::shared_ptr<Hub> hub_;
  int number_ = 0;
};

/// For use on ranks, because Catch's own macros belong to one thread: throws where CHECK would
/// fail.
#define CHECK_RANK(condition)                                                      \
  do {                                                                             \
    if (!(condition)) {                                                            \
      throw std::runtime_error(cat(__FILE__, ":", __LINE__, ": not " #condition)); \
    }                                                                              \
  } while (false)

/// The message of the Error that `body` ends with; "" if it does not.
inline std::string error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.message();
  }
  return {};
}

/// Runs `body` on a thread for each rank and rethrows the first error.
inline void run_ranks(int size,
                      const std::function<void(const std::shared_ptr<ThreadGroup>&)>& body) {
  const auto hub = std::make_shared<Hub>();
  std::exception_ptr first;
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      try {
        body(std::make_shared<ThreadGroup>(rank, size, hub));
      } catch (...) {
        const std::lock_guard lock(hub->mutex);
        if (!hub->failed) first = std::current_exception();
        hub->failed = true;
        hub->wake.notify_all();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  if (first) std::rethrow_exception(first);
}

}  // namespace ldm::test
