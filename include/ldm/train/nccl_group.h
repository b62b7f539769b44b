#pragma once

#include <memory>
#include <string>

#include "ldm/core/nccl_plugin.h"
#include "ldm/train/process_group.h"

namespace ldm::train {

/// What is known of NCCL here. `api` is null when it cannot be used and `why_not` says why.
struct NcclState {
  const LdmNcclApi* api = nullptr;
  std::string why_not;
};

/// NCCL of the CUDA plugin, which is loaded if it is not yet.
NcclState nccl_state();

/// Sums by NCCL what is on one device; all else goes through the group it was made from.
class NcclGroup final : public ProcessGroup {
 public:
  /// Opens a communicator on `device`, whose identifier rank 0 sends through `host`. Throws
  /// Error::internal when NCCL cannot.
  NcclGroup(const LdmNcclApi& api, at::Device device, std::shared_ptr<ProcessGroup> host,
            std::chrono::milliseconds timeout);
  ~NcclGroup() override;

  std::shared_ptr<Work> all_reduce_sum(at::Tensor& tensor) override;
  std::shared_ptr<Work> broadcast(at::Tensor& tensor, int root) override;
  void barrier() override;
  void close() override;

 private:
  class Transfer;
  void release(bool abort);

  const LdmNcclApi& api_;
  at::Device device_;
  std::shared_ptr<ProcessGroup> host_;
  std::chrono::milliseconds timeout_;
  int exceptions_;
  void* communicator_ = nullptr;
};

}  // namespace ldm::train
