#include "ldm/train/nccl_group.h"

#include <ATen/ops/zeros.h>
#include <dlfcn.h>

#include <algorithm>
#include <exception>
#include <thread>
#include <utility>

#include "ldm/core/device.h"
#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm::train {
namespace {

using Clock = std::chrono::steady_clock;

int type_of(const at::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case c10::kFloat:
      return kLdmNcclFloat;
    case c10::kDouble:
      return kLdmNcclDouble;
    case c10::kLong:
      return kLdmNcclInt64;
    default:
      throw Error::internal(cat("NCCL sums fp32, fp64 and int64 here, not ", tensor.toString()));
  }
}

Error lost(const ProcessGroup& group, const std::string& why) {
  return Error::stopped(
      ErrorCode::kInternal,
      cat("rank ", group.rank(), " of ", group.size(), " lost the run: NCCL: ", why),
      "see what the other ranks say, then start the run again with --resume");
}

void check(const LdmNcclApi& api, int error, const ProcessGroup& group) {
  if (error != 0) throw lost(group, api.error_text(error));
}

}  // namespace

/// Waits on the host, because only the host can tell a rank that is gone from one that is slow.
class NcclGroup::Transfer final : public Work {
 public:
  Transfer(NcclGroup& group, void* event) : group_(group), event_(event) {}

  void wait() override {
    using std::chrono::microseconds;
    constexpr auto kEager = std::chrono::milliseconds(20);
    constexpr auto kPause = microseconds(500);
    const Clock::time_point start = Clock::now();
    while (event_ != nullptr) {
      int complete = 0;
      check(group_.api_, group_.api_.done(group_.communicator_, &event_, &complete), group_);
      if (complete != 0) break;
      const auto waited = Clock::now() - start;
      if (waited > group_.timeout_) throw lost(group_, "some rank does not answer");
      if (waited < kEager) {
        std::this_thread::yield();
      } else {
        std::this_thread::sleep_for(kPause);
      }
    }
  }

 private:
  NcclGroup& group_;
  void* event_;
};

NcclState nccl_state() {
  NcclState state;
  const CudaState& cuda = cuda_state();
  if (cuda.api == nullptr) {
    state.why_not = cuda.why_not;
    return state;
  }
  // The plugin was loaded with its symbols global.
  using Entry = const LdmNcclApi* (*)();
  const auto entry = reinterpret_cast<Entry>(dlsym(RTLD_DEFAULT, "ldm_nccl_api"));
  const LdmNcclApi* api = entry != nullptr ? entry() : nullptr;
  if (api == nullptr || api->abi != kLdmNcclAbi) {
    state.why_not = entry == nullptr ? "libldm_cuda.so was built without nccl.h"
                                     : "libldm_cuda.so belongs to another build";
    return state;
  }
  state.api = api;
  return state;
}

NcclGroup::NcclGroup(const LdmNcclApi& api, at::Device device, std::shared_ptr<ProcessGroup> host,
                     std::chrono::milliseconds timeout)
    : ProcessGroup(host->rank(), host->size(), "nccl"),
      api_(api),
      device_(device),
      host_(std::move(host)),
      timeout_(timeout),
      exceptions_(std::uncaught_exceptions()) {
  at::Tensor id = at::zeros({static_cast<std::int64_t>(kLdmNcclIdBytes)}, c10::kByte);
  if (rank() == 0) check(api_, api_.unique_id(id.mutable_data_ptr()), *this);
  host_->broadcast(id, 0)->wait();
  check(api_, api_.open(device_.index(), rank(), size(), id.const_data_ptr(), &communicator_),
        *this);
}

NcclGroup::~NcclGroup() { release(std::uncaught_exceptions() > exceptions_); }

void NcclGroup::release(bool abort) {
  if (communicator_ == nullptr) return;
  api_.close(communicator_, abort ? 1 : 0);
  communicator_ = nullptr;
}

std::shared_ptr<Work> NcclGroup::all_reduce_sum(at::Tensor& tensor) {
  if (tensor.device() != device_) return host_->all_reduce_sum(tensor);
  void* event = nullptr;
  check(api_,
        api_.sum(communicator_, tensor.mutable_data_ptr(), static_cast<std::size_t>(tensor.numel()),
                 type_of(tensor), &event),
        *this);
  return std::make_shared<Transfer>(*this, event);
}

std::shared_ptr<Work> NcclGroup::broadcast(at::Tensor& tensor, int root) {
  if (tensor.device() != device_) return host_->broadcast(tensor, root);
  void* event = nullptr;
  check(api_,
        api_.broadcast(communicator_, tensor.mutable_data_ptr(), tensor.nbytes(), root, &event),
        *this);
  return std::make_shared<Transfer>(*this, event);
}

void NcclGroup::barrier() { host_->barrier(); }

void NcclGroup::close() {
  host_->barrier();
  release(false);
  host_->close();
}

}  // namespace ldm::train
