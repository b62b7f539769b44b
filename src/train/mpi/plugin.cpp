#include <mpi.h>

#include <cstdio>
#include <memory>

#include "ldm/core/mpi_plugin.h"

namespace {

MPI_Datatype type_of(int type) {
  switch (type) {
    case kLdmMpiFloat:
      return MPI_FLOAT;
    case kLdmMpiDouble:
      return MPI_DOUBLE;
    default:
      return MPI_INT64_T;
  }
}

int start(int* rank, int* size) {
  int level = MPI_THREAD_SINGLE;
  // The last call, MPI_Abort's, may come from another thread than all the others.
  int error = MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &level);
  if (error != MPI_SUCCESS) return error;
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  error = MPI_Comm_rank(MPI_COMM_WORLD, rank);
  return error != MPI_SUCCESS ? error : MPI_Comm_size(MPI_COMM_WORLD, size);
}

int finish() { return MPI_Finalize(); }

void abort_run(int exit_code) { MPI_Abort(MPI_COMM_WORLD, exit_code); }

/// Runs a nonblocking operation on a fresh request and hands that out if it has begun.
template <typename Begin>
int with_request(void** out, const Begin& begin) {
  auto request = std::make_unique<MPI_Request>(MPI_REQUEST_NULL);
  const int error = begin(request.get());
  if (error == MPI_SUCCESS) *out = request.release();
  return error;
}

int begin_sum(void* data, std::size_t count, int type, void** out) {
  return with_request(out, [&](MPI_Request* request) {
    return MPI_Iallreduce(MPI_IN_PLACE, data, static_cast<int>(count), type_of(type), MPI_SUM,
                          MPI_COMM_WORLD, request);
  });
}

int begin_broadcast(void* data, std::size_t bytes, int root, void** out) {
  return with_request(out, [&](MPI_Request* request) {
    return MPI_Ibcast(data, static_cast<int>(bytes), MPI_BYTE, root, MPI_COMM_WORLD, request);
  });
}

int begin_barrier(void** out) {
  return with_request(out,
                      [](MPI_Request* request) { return MPI_Ibarrier(MPI_COMM_WORLD, request); });
}

int test(void** handle, int* done) {
  auto* request = static_cast<MPI_Request*>(*handle);
  const int error = MPI_Test(request, done, MPI_STATUS_IGNORE);
  if (error != MPI_SUCCESS || *done != 0) {
    delete request;
    *handle = nullptr;
  }
  return error;
}

void error_text(int error, char* out, std::size_t size) {
  char text[MPI_MAX_ERROR_STRING] = "unknown error";
  int length = 0;
  MPI_Error_string(error, text, &length);
  std::snprintf(out, size, "%s", text);
}

constexpr LdmMpiApi kApi = {
    kLdmMpiAbi,      start,         finish, abort_run,  begin_sum,
    begin_broadcast, begin_barrier, test,   error_text,
};

}  // namespace

extern "C" __attribute__((visibility("default"))) const LdmMpiApi* ldm_mpi_api() { return &kApi; }
