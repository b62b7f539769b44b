#pragma once

#include <memory>
#include <string>

#include "ldm/core/mpi_plugin.h"
#include "ldm/train/launch.h"
#include "ldm/train/queued_group.h"

namespace ldm::train {

/// What is known of MPI here. `api` is null when it cannot be used and `why_not` says why.
struct MpiState {
  const LdmMpiApi* api = nullptr;
  std::string why_not;
};

/// Loads libldm_mpi.so from beside the program on first use.
const MpiState& mpi_state();

/// Sums by MPI_Iallreduce on CPU tensors. A process that ends without having closed its group calls
/// MPI_Abort with its exit code as its last act, so that no other rank waits for it.
class MpiGroup final : public QueuedGroup {
 public:
  /// Starts MPI. Throws Error::usage when MPI knows another number of processes than `launch`
  /// (each would train alone), Error::internal when it cannot start.
  MpiGroup(const LdmMpiApi& api, const Launch& launch, std::chrono::milliseconds timeout);
  ~MpiGroup() override;

 protected:
  void do_sum(at::Tensor& tensor) override;
  void do_broadcast(at::Tensor& tensor, int root) override;
  void do_barrier() override;
  void do_close() override;
  void do_abandon() noexcept override;

 private:
  void check(int error, const char* operation) const;
  void complete(void* request, const char* operation);

  const LdmMpiApi& api_;
  at::Tensor in_flight_;  ///< stays after a failure: the other ranks may still write into it
};

}  // namespace ldm::train
