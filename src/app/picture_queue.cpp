#include "ldm/app/picture_queue.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

namespace ldm::app {

PictureQueue::PictureQueue(const ExecutionSummary& execution)
    : most_(execution.device == "cpu" ? 0 : std::max(2U, std::thread::hardware_concurrency())) {}

void PictureQueue::add(Encode encode, Commit commit) {
  if (most_ == 0) return commit(encode());
  while (waiting_.size() >= most_) commit_first();
  waiting_.push_back({std::async(std::launch::async, std::move(encode)), std::move(commit)});
}

void PictureQueue::commit_ready() {
  const auto is_ready = [](const Waiting& picture) {
    return picture.file.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
  };
  while (!waiting_.empty() && is_ready(waiting_.front())) commit_first();
}

void PictureQueue::drain() {
  while (!waiting_.empty()) commit_first();
}

void PictureQueue::commit_first() {
  Waiting first = std::move(waiting_.front());
  waiting_.pop_front();
  first.commit(first.file.get());
}

}  // namespace ldm::app
