#include "ldm/train/mpi_group.h"

#include <dlfcn.h>
#include <stdlib.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <filesystem>

#include "ldm/core/plugin.h"
#include "ldm/core/text.h"

namespace ldm::train {
namespace {

namespace fs = std::filesystem;

// MPI counts in int.
constexpr std::size_t kMostNumbers = std::size_t{1} << 28U;
constexpr std::size_t kMostBytes = std::size_t{1} << 30U;

/// The started MPI that nobody has finished yet.
std::atomic<const LdmMpiApi*> g_open{nullptr};

/// Under srun the others would wait for a process that ends without MPI_Finalize. This runs after
/// main, when the error has been shown.
void abort_at_exit(int status, void* /*unused*/) {
  const LdmMpiApi* api = g_open.exchange(nullptr);
  if (api != nullptr) api->abort(status != 0 ? status : 1);
}

MpiState load_mpi() {
  MpiState state;
  std::error_code error;
  const fs::path plugin = plugin_path("libldm_mpi.so");
  if (!fs::exists(plugin, error)) {
    state.why_not = cat(plugin.string(), " is missing: this program was built without MPI");
    return state;
  }
  // Global, because Open MPI's own components look its symbols up.
  void* library = dlopen(plugin.c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (library == nullptr) {
    state.why_not = cat("cannot load ", plugin.string(), ": ", dlerror());
    return state;
  }
  using Entry = const LdmMpiApi* (*)();
  const auto entry = reinterpret_cast<Entry>(dlsym(library, "ldm_mpi_api"));
  const LdmMpiApi* api = entry != nullptr ? entry() : nullptr;
  if (api == nullptr || api->abi != kLdmMpiAbi) {
    state.why_not = cat(plugin.string(), " belongs to another build");
    return state;
  }
  state.api = api;
  return state;
}

int type_of(const at::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case c10::kFloat:
      return kLdmMpiFloat;
    case c10::kDouble:
      return kLdmMpiDouble;
    default:
      return kLdmMpiInt64;
  }
}

}  // namespace

const MpiState& mpi_state() {
  static const MpiState state = load_mpi();
  return state;
}

MpiGroup::MpiGroup(const LdmMpiApi& api, const Launch& launch, std::chrono::milliseconds timeout)
    : QueuedGroup(launch.rank, launch.size, "mpi", timeout), api_(api) {
  run([this, &launch] {
    int found_rank = 0;
    int found_size = 0;
    check(api_.start(&found_rank, &found_size), "MPI_Init");
    if (found_rank == launch.rank && found_size == launch.size) return;
    api_.finish();
    throw Error::usage(cat(launch.launcher, " started rank ", launch.rank, " of ", launch.size,
                           ", but MPI sees rank ", found_rank, " of ", found_size),
                       launch.launcher == "srun"
                           ? "start with srun --mpi=none, which needs no MPI, or with mpirun"
                           : "use the mpirun of the MPI that this program was built with");
  });
  if (g_open.exchange(&api_) == nullptr) {
    static const int registered = on_exit(abort_at_exit, nullptr);
    static_cast<void>(registered);
  }
}

MpiGroup::~MpiGroup() { end(); }

void MpiGroup::check(int error, const char* operation) const {
  if (error == 0) return;
  std::array<char, 512> text{};
  api_.error_text(error, text.data(), text.size());
  throw lost(cat(operation, ": ", text.data()));
}

void MpiGroup::complete(void* request, const char* operation) {
  poll(
      [&] {
        int done = 0;
        check(api_.test(&request, &done), operation);
        return done != 0;
      },
      [&] { return lost(cat(operation, ": some rank does not answer")); });
}

void MpiGroup::do_sum(at::Tensor& tensor) {
  in_flight_ = tensor;
  auto* data = static_cast<char*>(tensor.mutable_data_ptr());
  const auto count = static_cast<std::size_t>(tensor.numel());
  for (std::size_t begin = 0; begin < count; begin += kMostNumbers) {
    void* request = nullptr;
    check(api_.begin_sum(data + begin * tensor.itemsize(), std::min(kMostNumbers, count - begin),
                         type_of(tensor), &request),
          "MPI_Iallreduce");
    complete(request, "MPI_Iallreduce");
  }
  in_flight_.reset();
}

void MpiGroup::do_broadcast(at::Tensor& tensor, int root) {
  in_flight_ = tensor;
  auto* data = static_cast<char*>(tensor.mutable_data_ptr());
  const std::size_t bytes = tensor.nbytes();
  for (std::size_t begin = 0; begin < bytes; begin += kMostBytes) {
    void* request = nullptr;
    check(api_.begin_broadcast(data + begin, std::min(kMostBytes, bytes - begin), root, &request),
          "MPI_Ibcast");
    complete(request, "MPI_Ibcast");
  }
  in_flight_.reset();
}

void MpiGroup::do_barrier() {
  void* request = nullptr;
  check(api_.begin_barrier(&request), "MPI_Ibarrier");
  complete(request, "MPI_Ibarrier");
}

void MpiGroup::do_close() {
  g_open = nullptr;
  check(api_.finish(), "MPI_Finalize");
}

void MpiGroup::do_abandon() noexcept {
  // abort_at_exit does it, once the error has been shown.
}

}  // namespace ldm::train
