#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <future>
#include <vector>

#include "ldm/core/execution_request.h"

namespace ldm::app {

/// Pictures that are encoded on threads of their own while the next ones are computed, and handed
/// on in their order, on the caller's thread.
class PictureQueue {
 public:
  using Encode = std::function<std::vector<std::byte>()>;
  using Commit = std::function<void(const std::vector<std::byte>& file)>;

  /// As many as serve a device: beside a GPU the cores are free, on a CPU they compute.
  explicit PictureQueue(const ExecutionSummary& execution);

  /// So many pictures wait at once; 0: each is encoded and handed on where it is added.
  explicit PictureQueue(std::size_t most) : most_(most) {}

  /// `encode` runs beside everything else, `commit` within one of the calls here. Where as many
  /// wait as may, hands on the oldest first. Throws what their functions throw.
  void add(Encode encode, Commit commit);

  /// Pictures that wait.
  std::size_t size() const { return waiting_.size(); }

  /// Hands on what is encoded, up to the first that is not. Throws what `encode` and `commit`
  /// throw; the picture of it is gone then, those after it wait on.
  void commit_ready();

  /// Hands on all. Throws as `commit_ready`.
  void drain();

 private:
  struct Waiting {
    std::future<std::vector<std::byte>> file;
    Commit commit;
  };
  void commit_first();

  std::size_t most_;
  std::deque<Waiting> waiting_;
};

/// Computes, and then finishes the pictures that wait, however that ends. Throws what they throw.
template <typename Compute, typename Finish>
void run_finishing(const Compute& compute, const Finish& finish) {
  try {
    compute();
  } catch (...) {
    finish();
    throw;
  }
  finish();
}

}  // namespace ldm::app
