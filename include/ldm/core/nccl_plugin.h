#pragma once

#include <cstddef>
#include <cstdint>

// NCCL behind libldm_cuda.so: a second symbol of that plugin, absent where it was built without
// nccl.h. Functions that give back an int give 0 or an ncclResult_t.
extern "C" {

/// Increased with every change of LdmNcclApi; both sides must agree.
constexpr std::uint32_t kLdmNcclAbi = 1;

/// Bytes of the identifier that rank 0 makes and all ranks open their communicator with.
constexpr std::size_t kLdmNcclIdBytes = 128;

/// What numbers of a sum are.
enum LdmNcclType : int { kLdmNcclFloat = 0, kLdmNcclDouble = 1, kLdmNcclInt64 = 2 };

struct LdmNcclApi {
  std::uint32_t abi;
  int (*unique_id)(void* id);
  /// A communicator of this process on `device`, with a stream of its own; all ranks call it.
  int (*open)(int device, int rank, int size, const void* id, void** communicator);
  /// Adds up `count` numbers of all ranks in place, after all work issued on the device's current
  /// stream so far. `*event` is for `done`, and is released by it.
  int (*sum)(void* communicator, void* data, std::size_t count, int type, void** event);
  /// Sends `bytes` bytes of rank `root` to all others, ordered as `sum` is.
  int (*broadcast)(void* communicator, void* data, std::size_t bytes, int root, void** event);
  /// Whether what `*event` stands for is complete on the device; `*event` is null afterwards if so.
  /// Gives back what went wrong meanwhile on any rank.
  int (*done)(void* communicator, void** event, int* complete);
  /// Ends the communicator; with `abort`, without waiting for the others.
  void (*close)(void* communicator, int abort);
  const char* (*error_text)(int error);
};

/// Exported by libldm_cuda.so beside ldm_cuda_api.
const LdmNcclApi* ldm_nccl_api();
}
