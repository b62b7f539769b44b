#include "ldm/train/launch.h"

#include <unistd.h>

#include <charconv>

#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm::train {
namespace {

using Environment = std::map<std::string, std::string>;

bool has(const Environment& environment, const std::string& name) {
  const auto found = environment.find(name);
  return found != environment.end() && !found->second.empty();
}

std::string text(const Environment& environment, const std::string& name,
                 const std::string& otherwise = {}) {
  return has(environment, name) ? environment.at(name) : otherwise;
}

int number(const Environment& environment, const std::string& name, int least, int most) {
  if (!has(environment, name)) {
    throw Error::usage(cat("the launcher's variable ", name, " is missing"),
                       "start with mpirun, srun or torchrun, or unset its variables");
  }
  const std::string& value = environment.at(name);
  int result = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), result);
  if (error != std::errc() || end != value.data() + value.size() || result < least ||
      result > most) {
    throw Error::usage(
        cat(name, "=", escape_control(value), ": expected a number from ", least, " to ", most),
        "start with mpirun, srun or torchrun, or unset its variables");
  }
  return result;
}

constexpr int kMostRanks = 1 << 20;
constexpr int kLastPort = 65535;

void read_ranks(const Environment& environment, const std::string& rank, const std::string& size,
                const std::string& local, Launch& launch) {
  launch.size = number(environment, size, 1, kMostRanks);
  launch.rank = number(environment, rank, 0, launch.size - 1);
  launch.local_rank = has(environment, local) ? number(environment, local, 0, launch.size - 1) : 0;
}

bool is_true(const std::string& word) { return word == "1" || word == "True" || word == "true"; }

Launch from_torchrun(const Environment& environment) {
  Launch launch;
  launch.launcher = "torchrun";
  launch.meeting = Meeting::kStore;
  read_ranks(environment, "RANK", "WORLD_SIZE", "LOCAL_RANK", launch);
  if (launch.size == 1) return launch;
  launch.port = number(environment, "MASTER_PORT", 1, kLastPort);
  launch.address = text(environment, "MASTER_ADDR");
  if (launch.address.empty()) {
    throw Error::usage("the launcher's variable MASTER_ADDR is missing",
                       "set it to the machine of rank 0, or start with torchrun");
  }
  launch.serves_store =
      launch.rank == 0 && !is_true(text(environment, "TORCHELASTIC_USE_AGENT_STORE"));
  launch.attempt = text(environment, "TORCHELASTIC_RESTART_COUNT", "0");
  return launch;
}

/// A port for the steps of one job that two jobs on a machine seldom share.
int port_of_job(const Environment& environment) {
  constexpr int kFirst = 20000;
  constexpr int kPorts = 12000;
  std::uint64_t job = 0;
  for (const char c : text(environment, "SLURM_JOB_ID") + "." + text(environment, "SLURM_STEP_ID"))
    job = job * 31U + static_cast<unsigned char>(c);
  return kFirst + static_cast<int>(job % kPorts);
}

Launch from_slurm(const Environment& environment) {
  Launch launch;
  launch.launcher = "srun";
  const bool counted = has(environment, "SLURM_STEP_NUM_TASKS");
  read_ranks(environment, "SLURM_PROCID", counted ? "SLURM_STEP_NUM_TASKS" : "SLURM_NTASKS",
             "SLURM_LOCALID", launch);
  // Debian's Open MPI ends a process that srun started without PMIx, so it must not be tried.
  launch.meeting = has(environment, "PMIX_RANK") ? Meeting::kMpi : Meeting::kStore;
  launch.serves_store = launch.rank == 0;
  launch.address =
      first_host(text(environment, "SLURM_STEP_NODELIST", text(environment, "SLURM_JOB_NODELIST")));
  launch.address = text(environment, "MASTER_ADDR", launch.address);
  launch.port = has(environment, "MASTER_PORT") ? number(environment, "MASTER_PORT", 1, kLastPort)
                                                : port_of_job(environment);
  launch.attempt = text(environment, "SLURM_RESTART_COUNT", "0");
  if (launch.address.empty() && launch.meeting == Meeting::kStore && launch.size > 1) {
    throw Error::usage("srun does not say which machines the step has",
                       "set MASTER_ADDR to the machine of rank 0, or use srun --mpi=pmix");
  }
  return launch;
}

Launch from_mpi(const Environment& environment, const std::string& prefix, bool open_mpi) {
  Launch launch;
  launch.launcher = "mpirun";
  launch.meeting = Meeting::kMpi;
  launch.serves_store = false;
  read_ranks(environment, prefix + "RANK", prefix + "SIZE",
             open_mpi ? prefix + "LOCAL_RANK" : "MPI_LOCALRANKID", launch);
  return launch;
}

Launch recognise(const Environment& environment) {
  if (has(environment, "RANK") || has(environment, "WORLD_SIZE")) return from_torchrun(environment);
  if (has(environment, "OMPI_COMM_WORLD_SIZE") || has(environment, "OMPI_COMM_WORLD_RANK")) {
    return from_mpi(environment, "OMPI_COMM_WORLD_", true);
  }
  // A batch script has SLURM_PROCID and SLURM_NTASKS too; only srun's steps have a step's number of
  // tasks. PMI_* of srun --mpi=pmi2 say no more than SLURM's own variables.
  if (has(environment, "SLURM_PROCID") &&
      (has(environment, "SLURM_STEP_NUM_TASKS") || has(environment, "SLURM_STEP_NODELIST"))) {
    return from_slurm(environment);
  }
  if (has(environment, "PMI_SIZE") && has(environment, "PMI_RANK")) {
    return from_mpi(environment, "PMI_", false);
  }
  return Launch{};
}

}  // namespace

Launch detect_launch(const std::map<std::string, std::string>& environment) {
  Launch launch = recognise(environment);
  if (launch.size > 1) return launch;
  Launch single;
  single.launcher = launch.launcher;
  return single;
}

std::map<std::string, std::string> process_environment() {
  std::map<std::string, std::string> variables;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string line = *entry;
    const std::size_t equals = line.find('=');
    if (equals != std::string::npos) variables[line.substr(0, equals)] = line.substr(equals + 1);
  }
  return variables;
}

std::string first_host(const std::string& host_list) {
  std::string host;
  for (std::size_t i = 0; i < host_list.size() && host_list[i] != ','; ++i) {
    if (host_list[i] != '[') {
      host += host_list[i];
      continue;
    }
    const std::size_t close = host_list.find(']', i);
    if (close == std::string::npos) return {};
    const std::string numbers = host_list.substr(i + 1, close - i - 1);
    host += numbers.substr(0, numbers.find_first_of(",-"));
    i = close;
  }
  return host;
}

}  // namespace ldm::train
