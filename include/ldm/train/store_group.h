#pragma once

#include <memory>
#include <string>

#include "ldm/train/launch.h"
#include "ldm/train/queued_group.h"

namespace ldm::train {

/// Sums over a key-value store (c10d::TCPStore): every rank puts its numbers in, takes those of the
/// others out and adds them in rank order. For runs on a CPU that torchrun or srun started without
/// MPI. All traffic passes the store's machine: bytes × size² a sum, so for few processes.
class StoreGroup final : public QueuedGroup {
 public:
  /// Connects to the store of `launch` (rank 0 opens it unless the launcher has) and waits for all
  /// ranks. Throws Error::internal naming the ranks that do not come within `timeout`.
  StoreGroup(const Launch& launch, std::chrono::milliseconds timeout);
  ~StoreGroup() override;

 protected:
  void do_sum(at::Tensor& tensor) override;
  void do_broadcast(at::Tensor& tensor, int root) override;
  void do_barrier() override;
  void do_close() override;
  void do_abandon() noexcept override;
  Error lost_to_library(const std::string& why) const override;

 private:
  struct Store;

  void join(const Launch& launch, std::chrono::milliseconds timeout);
  std::string key(std::uint64_t number, int from, std::size_t piece) const;
  void put(const at::Tensor& tensor);
  void take(at::Tensor& tensor, int from);
  void wait_for(const std::string& name, int from);
  void forget(std::uint64_t number, int from, std::size_t pieces);

  std::unique_ptr<Store> store_;
  std::string place_;
  std::string prefix_;
  std::uint64_t number_ = 0;    ///< of the operation, the same on all ranks
  std::uint64_t previous_ = 0;  ///< the last sum, whose keys the next one deletes
  std::size_t previous_pieces_ = 0;
};

}  // namespace ldm::train
