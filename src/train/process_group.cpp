#include "ldm/train/process_group.h"

#include <ATen/ops/zeros.h>
#include <c10/core/InferenceMode.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include "ldm/core/device.h"
#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/hash.h"
#include "ldm/train/mpi_group.h"
#include "ldm/train/nccl_group.h"
#include "ldm/train/store_group.h"

namespace ldm::train {
namespace {

class NoWork final : public Work {
 public:
  void wait() override {}
};

class SingleGroup final : public ProcessGroup {
 public:
  SingleGroup() : ProcessGroup(0, 1, "single") {}
  std::shared_ptr<Work> all_reduce_sum(at::Tensor& /*tensor*/) override { return done_; }
  std::shared_ptr<Work> broadcast(at::Tensor& /*tensor*/, int /*root*/) override { return done_; }
  void barrier() override {}

 private:
  std::shared_ptr<Work> done_ = std::make_shared<NoWork>();
};

std::shared_ptr<ProcessGroup> open_host_group(const Launch& launch,
                                              std::chrono::milliseconds timeout) {
  if (launch.meeting == Meeting::kStore) return std::make_shared<StoreGroup>(launch, timeout);
  const MpiState& mpi = mpi_state();
  if (mpi.api != nullptr) return std::make_shared<MpiGroup>(*mpi.api, launch, timeout);
  if (!launch.address.empty()) return std::make_shared<StoreGroup>(launch, timeout);
  throw Error::usage(
      cat("started by ", launch.launcher, " as ", launch.size, " processes, but ", mpi.why_not),
      "install libopenmpi-dev, configure and build again; or start with torchrun or srun");
}

/// A tensor that a group can take: `tensor` itself, or a contiguous copy.
void broadcast_in_place(at::Tensor tensor, ProcessGroup& group) {
  at::Tensor sent = tensor.detach().contiguous();
  group.broadcast(sent, 0)->wait();
  if (!sent.is_alias_of(tensor)) tensor.detach().copy_(sent);
}

}  // namespace

ProcessGroup::ProcessGroup(int rank, int size, std::string name)
    : rank_(rank), size_(size), name_(std::move(name)) {}

at::Device training_device(const LaunchRequest& request) {
  if (!request.cuda) return c10::Device(c10::DeviceType::CPU);
  const CudaState& cuda = cuda_state();
  if (cuda.api == nullptr) {
    throw Error::usage(cat("cannot train on CUDA: ", cuda.why_not), "train with device cpu");
  }
  // A launcher may show each process its own GPU only.
  const int index = detect_launch(request.environment).local_rank % cuda.devices;
  return c10::Device(c10::DeviceType::CUDA, static_cast<c10::DeviceIndex>(index));
}

std::shared_ptr<ProcessGroup> open_process_group(const LaunchRequest& request) {
  const Launch launch = detect_launch(request.environment);
  if (launch.size == 1) return std::make_shared<SingleGroup>();
  if (!request.cuda) return open_host_group(launch, request.timeout);
  const at::Device device = training_device(request);
  const NcclState nccl = nccl_state();
  if (nccl.api == nullptr) {
    throw Error::usage(cat(launch.size, " processes cannot train on CUDA: ", nccl.why_not),
                       "build where nccl.h is found, or train with one process");
  }
  return std::make_shared<NcclGroup>(*nccl.api, device, open_host_group(launch, request.timeout),
                                     request.timeout);
}

BatchShare batch_share(std::int64_t batch_size, const ProcessGroup& group) {
  BatchShare share;
  share.begin = batch_size * group.rank() / group.size();
  share.end = batch_size * (group.rank() + 1) / group.size();
  if (batch_size > 0) {
    share.weight = static_cast<double>((share.end - share.begin) * group.size()) /
                   static_cast<double>(batch_size);
  }
  return share;
}

void broadcast_parameters(torch::nn::Module& module, ProcessGroup& group) {
  if (group.size() == 1) return;
  const torch::NoGradGuard no_grad;
  for (const at::Tensor& parameter : module.parameters()) broadcast_in_place(parameter, group);
  for (const at::Tensor& buffer : module.buffers()) broadcast_in_place(buffer, group);
}

double all_reduce_mean(double value, ProcessGroup& group) {
  if (group.size() == 1) return value;
  at::Tensor sum = at::zeros({1}, c10::kDouble);
  *sum.mutable_data_ptr<double>() = value;
  group.all_reduce_sum(sum)->wait();
  return *sum.const_data_ptr<double>() / group.size();
}

void all_ranks_agree(const std::string& what, const std::string& digest, ProcessGroup& group) {
  if (group.size() == 1) return;
  constexpr std::size_t kHexDigits = 64;
  constexpr std::size_t kWords = kHexDigits / sizeof(std::int64_t);
  const std::string hex = sha256_hex(digest);
  at::Tensor all = at::zeros({group.size(), static_cast<std::int64_t>(kWords)}, c10::kLong);
  auto* rows = all.mutable_data_ptr<std::int64_t>();
  std::memcpy(rows + static_cast<std::size_t>(group.rank()) * kWords, hex.data(), kHexDigits);
  group.all_reduce_sum(all)->wait();
  std::vector<std::string> others;
  for (int rank = 1; rank < group.size(); ++rank) {
    const std::int64_t* row = rows + static_cast<std::size_t>(rank) * kWords;
    if (std::memcmp(row, rows, kHexDigits) != 0) others.push_back(std::to_string(rank));
  }
  if (others.empty()) return;
  group.close();
  constexpr std::size_t kShown = 10;
  throw Error::usage(cat("rank ", group.rank(), " of ", group.size(), ": ", what,
                         " is not the same on all ranks: rank ", join(others, ", ", kShown),
                         others.size() == 1 ? " differs" : " differ", " from rank 0"),
                     "start all processes with the same program, files and options");
}

}  // namespace ldm::train
