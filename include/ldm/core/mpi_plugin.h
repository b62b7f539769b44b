#pragma once

#include <cstddef>
#include <cstdint>

// The C interface between ldm-gen's programs, which never link MPI, and libldm_mpi.so, which does.
// All functions but `abort` belong to one thread, the one that called `start`. Those that give back
// an int give 0 or an MPI error code.
extern "C" {

/// Increased with every change of LdmMpiApi; both sides must agree.
constexpr std::uint32_t kLdmMpiAbi = 1;

/// What numbers of a sum are.
enum LdmMpiType : int { kLdmMpiFloat = 0, kLdmMpiDouble = 1, kLdmMpiInt64 = 2 };

struct LdmMpiApi {
  std::uint32_t abi;
  /// MPI_Init_thread; writes this process' rank and their number.
  int (*start)(int* rank, int* size);
  /// MPI_Finalize.
  int (*finish)();
  /// MPI_Abort: ends every process of the run, this one included, with `exit_code`.
  void (*abort)(int exit_code);
  /// Starts to add up `count` numbers of all ranks in place. `*request` is for `test`.
  int (*begin_sum)(void* data, std::size_t count, int type, void** request);
  /// Starts to send `bytes` bytes of rank `root` to all others.
  int (*begin_broadcast)(void* data, std::size_t bytes, int root, void** request);
  /// Starts to wait for all ranks.
  int (*begin_barrier)(void** request);
  /// Moves a request on; `*done` becomes 1, and the request is gone, when it is complete.
  int (*test)(void** request, int* done);
  /// Writes the text of an error code, NUL-terminated.
  void (*error_text)(int error, char* out, std::size_t size);
};

/// The plugin's one exported symbol.
const LdmMpiApi* ldm_mpi_api();
}
