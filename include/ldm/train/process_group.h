#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "ldm/train/launch.h"

namespace ldm::train {

/// Something that was begun and may still go on.
class Work {
 public:
  virtual ~Work() = default;
  /// Waits for the end; throws what went wrong, every time it is called.
  virtual void wait() = 0;
};

/// The processes of a run. All ranks call the same operations in the same order from one thread at
/// a time; results are bitwise equal on all ranks.
///
/// Operations throw Error::internal on a lost or late rank, naming it where that is known; from
/// then on every operation fails at once. A group that is destroyed while an exception passes
/// leaves the run: the others fail instead of waiting for this rank.
class ProcessGroup {
 public:
  ProcessGroup(int rank, int size, std::string name);
  virtual ~ProcessGroup() = default;
  ProcessGroup(const ProcessGroup&) = delete;
  ProcessGroup& operator=(const ProcessGroup&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }
  /// What carries the numbers: "single", "mpi", "store", "nccl".
  const std::string& name() const { return name_; }

  /// Begins to replace a contiguous fp32, fp64 or int64 tensor by its sum over the ranks. The
  /// tensor must be left alone until the work is done.
  virtual std::shared_ptr<Work> all_reduce_sum(at::Tensor& tensor) = 0;
  /// Begins to replace a contiguous tensor of any dtype by that of rank `root`.
  virtual std::shared_ptr<Work> broadcast(at::Tensor& tensor, int root) = 0;
  /// Returns when every rank has called it.
  virtual void barrier() = 0;
  /// Leaves the run in agreement with all other ranks, which do the same; the destructor does it
  /// too. To be called before an exception that all ranks throw alike (a time limit, a signal).
  virtual void close() {}

 private:
  int rank_;
  int size_;
  std::string name_;
};

/// What a program asks of its process group.
struct LaunchRequest {
  bool cuda = false;  ///< gradients are on GPU number `Launch::local_rank`: averaged by NCCL
  std::chrono::milliseconds timeout =
      std::chrono::minutes(10);  ///< for the slowest rank, each time
  std::map<std::string, std::string> environment = process_environment();
};

/// Joins the run that this process was started in, as `detect_launch` says. A single process loads
/// neither MPI nor NCCL and opens no connection.
///
/// Throws Error::usage when the environment is incomplete, when mpirun started a program without
/// its MPI plugin, or when there are GPUs and no NCCL; Error::internal when ranks do not come.
std::shared_ptr<ProcessGroup> open_process_group(const LaunchRequest& request = {});

/// Where this process trains: the CPU, or for a request with `cuda` the GPU whose number is
/// `Launch::local_rank` modulo the visible ones. Throws Error::usage where CUDA cannot be used.
at::Device training_device(const LaunchRequest& request);

/// The part of one rank in a global batch: sample numbers [begin, end), contiguous by rank.
struct BatchShare {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  /// What the mean loss over the share is multiplied by, so that the average over the ranks is the
  /// mean over the whole batch: 1 for equal shares, 0 for an empty one.
  double weight = 1;
};
BatchShare batch_share(std::int64_t batch_size, const ProcessGroup& group);

/// Makes parameters and buffers of `module` equal to those of rank 0.
void broadcast_parameters(torch::nn::Module& module, ProcessGroup& group);

/// The mean of a figure over the ranks.
double all_reduce_mean(double value, ProcessGroup& group);

/// Throws Error::usage on all ranks alike unless `digest` is the same on all; `what` ("the run's
/// configuration") and the ranks that differ from rank 0 stand in the message.
void all_ranks_agree(const std::string& what, const std::string& digest, ProcessGroup& group);

}  // namespace ldm::train
