#pragma once

#include <map>
#include <string>

namespace ldm::train {

/// How the processes of a run find each other.
enum class Meeting {
  kNone,   ///< one process
  kMpi,    ///< the launcher's own library: mpirun, or srun with PMIx
  kStore,  ///< a key-value store at `address`:`port`: torchrun, or srun without PMIx
};

/// What the environment says of the run that this process belongs to.
struct Launch {
  Meeting meeting = Meeting::kNone;
  std::string launcher = "single process";  ///< "mpirun", "srun", "torchrun", for messages
  int rank = 0;                             ///< 0 … size - 1
  int size = 1;
  int local_rank = 0;        ///< number among the processes of this machine: which GPU
  std::string address;       ///< of the store: the machine of rank 0
  int port = 0;              ///< of the store
  bool serves_store = true;  ///< rank 0 runs the store; false: the launcher itself does
  std::string attempt;       ///< differs between restarts that share a launcher's store
};

/// Recognises, innermost launcher first: torchrun (RANK WORLD_SIZE LOCAL_RANK MASTER_ADDR
/// MASTER_PORT), Open MPI (OMPI_COMM_WORLD_RANK/SIZE/LOCAL_RANK), other MPIs (PMI_RANK, PMI_SIZE),
/// and SLURM steps (SLURM_PROCID SLURM_STEP_NUM_TASKS SLURM_LOCALID): with PMIX_RANK over MPI,
/// without it over a store on the step's first machine, where MASTER_ADDR and MASTER_PORT may name
/// another place. One process in all, or a batch script outside of srun, is a single process.
/// Throws Error::usage for variables that are incomplete, no numbers or out of range.
Launch detect_launch(const std::map<std::string, std::string>& environment);

/// All variables of this process.
std::map<std::string, std::string> process_environment();

/// The first machine of a SLURM list such as "login,gpu[007-012,20]-ib": "login".
std::string first_host(const std::string& host_list);

}  // namespace ldm::train
