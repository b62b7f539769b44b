#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace ldm::app {

/// Which of a batch's tasks are done, by number. One bit each in one piece: what grew by a node a
/// task between a picture's large tensors would keep their memory from being given back.
class DoneTasks {
 public:
  bool contains(std::size_t task) const { return task < done_.size() && done_[task]; }

  void insert(std::size_t task) {
    if (task >= done_.size()) done_.resize(std::max(task + 1, 2 * done_.size()));
    if (!done_[task]) ++count_;
    done_[task] = true;
  }

  void clear() {
    done_.clear();
    count_ = 0;
  }

  std::size_t size() const { return count_; }
  bool empty() const { return count_ == 0; }

  /// The least of them; of an empty set, no task's number.
  std::size_t first() const {
    return static_cast<std::size_t>(std::find(done_.begin(), done_.end(), true) - done_.begin());
  }

 private:
  std::vector<bool> done_;
  std::size_t count_ = 0;
};

}  // namespace ldm::app
