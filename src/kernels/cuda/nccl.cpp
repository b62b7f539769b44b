#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>
#include <nccl.h>

#include <cstring>
#include <memory>

#include "ldm/core/nccl_plugin.h"

namespace {

static_assert(kLdmNcclIdBytes == sizeof(ncclUniqueId));

struct Communicator {
  int device = 0;
  ncclComm_t comm = nullptr;
  cudaStream_t stream = nullptr;
};

int failed(cudaError_t error) {
  return error == cudaSuccess ? ncclSuccess : ncclUnhandledCudaError;
}

ncclDataType_t type_of(int type) {
  switch (type) {
    case kLdmNcclFloat:
      return ncclFloat32;
    case kLdmNcclDouble:
      return ncclFloat64;
    default:
      return ncclInt64;
  }
}

int unique_id(void* id) { return ncclGetUniqueId(static_cast<ncclUniqueId*>(id)); }

void close(void* handle, int abort) {
  const std::unique_ptr<Communicator> c(static_cast<Communicator*>(handle));
  const c10::cuda::CUDAGuard guard(static_cast<c10::DeviceIndex>(c->device));
  if (c->comm != nullptr && abort != 0) ncclCommAbort(c->comm);
  if (c->comm != nullptr && abort == 0) ncclCommDestroy(c->comm);
  if (c->stream != nullptr) cudaStreamDestroy(c->stream);
}

int open(int device, int rank, int size, const void* id, void** out) {
  const c10::cuda::CUDAGuard guard(static_cast<c10::DeviceIndex>(device));
  auto c = std::make_unique<Communicator>();
  c->device = device;
  int error = failed(cudaStreamCreateWithFlags(&c->stream, cudaStreamNonBlocking));
  if (error == ncclSuccess) {
    ncclUniqueId unique;
    std::memcpy(&unique, id, sizeof(unique));
    error = ncclCommInitRank(&c->comm, size, unique, rank);
  }
  if (error == ncclSuccess) {
    *out = c.release();
  } else {
    close(c.release(), 1);
  }
  return error;
}

/// Makes `waiting` go on only after what `stream` has been given so far.
int order(cudaStream_t stream, cudaStream_t waiting) {
  cudaEvent_t event = nullptr;
  cudaError_t error = cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
  if (error == cudaSuccess) error = cudaEventRecord(event, stream);
  if (error == cudaSuccess) error = cudaStreamWaitEvent(waiting, event, 0);
  if (event != nullptr) cudaEventDestroy(event);
  return failed(error);
}

/// Runs an NCCL call on the communicator's stream, between what the current stream has been given
/// before and what it will be given later.
template <typename Call>
int issue(void* handle, void** out, const Call& call) {
  auto* c = static_cast<Communicator*>(handle);
  const c10::cuda::CUDAGuard guard(static_cast<c10::DeviceIndex>(c->device));
  const cudaStream_t current = c10::cuda::getCurrentCUDAStream().stream();
  int error = order(current, c->stream);
  if (error == ncclSuccess) error = call(*c);
  if (error != ncclSuccess) return error;
  cudaEvent_t event = nullptr;
  cudaError_t made = cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
  if (made == cudaSuccess) made = cudaEventRecord(event, c->stream);
  *out = event;
  return failed(made);
}

int sum(void* handle, void* data, std::size_t count, int type, void** event) {
  return issue(handle, event, [&](const Communicator& c) {
    return ncclAllReduce(data, data, count, type_of(type), ncclSum, c.comm, c.stream);
  });
}

int broadcast(void* handle, void* data, std::size_t bytes, int root, void** event) {
  return issue(handle, event, [&](const Communicator& c) {
    return ncclBroadcast(data, data, bytes, ncclUint8, root, c.comm, c.stream);
  });
}

int done(void* handle, void** event, int* complete) {
  auto* c = static_cast<Communicator*>(handle);
  const c10::cuda::CUDAGuard guard(static_cast<c10::DeviceIndex>(c->device));
  ncclResult_t remote = ncclSuccess;
  const ncclResult_t asked = ncclCommGetAsyncError(c->comm, &remote);
  if (asked != ncclSuccess) return asked;
  if (remote != ncclSuccess) return remote;
  const cudaError_t state = cudaEventQuery(static_cast<cudaEvent_t>(*event));
  *complete = state == cudaErrorNotReady ? 0 : 1;
  if (state == cudaErrorNotReady) return ncclSuccess;
  cudaEventDestroy(static_cast<cudaEvent_t>(*event));
  *event = nullptr;
  return failed(state);
}

const char* error_text(int error) { return ncclGetErrorString(static_cast<ncclResult_t>(error)); }

constexpr LdmNcclApi kApi = {
    kLdmNcclAbi, unique_id, open, sum, broadcast, done, close, error_text,
};

}  // namespace

extern "C" __attribute__((visibility("default"))) const LdmNcclApi* ldm_nccl_api() { return &kApi; }
