#include "ldm/train/launch.h"

#include "ldm/core/error.h"
#include "tests/support/catch.h"

using ldm::train::detect_launch;
using ldm::train::first_host;
using ldm::train::Launch;
using ldm::train::Meeting;
using Environment = std::map<std::string, std::string>;

namespace {

std::string usage_error(const Environment& environment) {
  try {
    detect_launch(environment);
  } catch (const ldm::Error& error) {
    CHECK(error.code() == ldm::ErrorCode::kUsage);
    return error.message();
  }
  return "no error";
}

const Environment kTorchrun = {{"RANK", "3"},
                               {"WORLD_SIZE", "4"},
                               {"LOCAL_RANK", "1"},
                               {"MASTER_ADDR", "node7"},
                               {"MASTER_PORT", "29500"},
                               {"TORCHELASTIC_USE_AGENT_STORE", "True"},
                               {"TORCHELASTIC_RESTART_COUNT", "2"}};
const Environment kSrun = {{"SLURM_PROCID", "0"},
                           {"SLURM_STEP_NUM_TASKS", "6"},
                           {"SLURM_LOCALID", "0"},
                           {"SLURM_NTASKS", "8"},
                           {"SLURM_JOB_ID", "4711"},
                           {"SLURM_STEP_ID", "2"},
                           {"SLURM_STEP_NODELIST", "gpu[007-009,12]"}};

Environment with(Environment environment, const Environment& more) {
  for (const auto& [name, value] : more) environment[name] = value;
  return environment;
}

}  // namespace

TEST_CASE("nothing in the environment is a single process") {
  const Launch launch = detect_launch({{"PATH", "/bin"}});
  CHECK(launch.meeting == Meeting::kNone);
  CHECK(launch.rank == 0);
  CHECK(launch.size == 1);
}

TEST_CASE("torchrun's store is its agent's") {
  const Launch launch = detect_launch(kTorchrun);
  CHECK(launch.meeting == Meeting::kStore);
  CHECK(launch.launcher == "torchrun");
  CHECK(launch.rank == 3);
  CHECK(launch.size == 4);
  CHECK(launch.local_rank == 1);
  CHECK(launch.address == "node7");
  CHECK(launch.port == 29500);
  CHECK(launch.attempt == "2");
  const Environment first = with(kTorchrun, {{"RANK", "0"}});
  CHECK_FALSE(detect_launch(first).serves_store);
  CHECK(detect_launch(with(first, {{"TORCHELASTIC_USE_AGENT_STORE", ""}})).serves_store);
}

TEST_CASE("Open MPI's variables win over those of a SLURM job around it") {
  const Launch launch = detect_launch(with(kSrun, {{"OMPI_COMM_WORLD_RANK", "1"},
                                                   {"OMPI_COMM_WORLD_SIZE", "2"},
                                                   {"OMPI_COMM_WORLD_LOCAL_RANK", "1"}}));
  CHECK(launch.meeting == Meeting::kMpi);
  CHECK(launch.launcher == "mpirun");
  CHECK(launch.rank == 1);
  CHECK(launch.size == 2);
  CHECK(launch.local_rank == 1);
  CHECK(launch.address.empty());
}

TEST_CASE("other MPIs are known by PMI") {
  const Launch launch = detect_launch({{"PMI_RANK", "2"}, {"PMI_SIZE", "3"}});
  CHECK(launch.meeting == Meeting::kMpi);
  CHECK(launch.rank == 2);
  CHECK(launch.size == 3);
}

TEST_CASE("srun with PMIx means MPI, without it a store on the step's first machine") {
  const Launch plain = detect_launch(kSrun);
  CHECK(plain.meeting == Meeting::kStore);
  CHECK(plain.launcher == "srun");
  CHECK(plain.size == 6);
  CHECK(plain.address == "gpu007");
  CHECK(plain.serves_store);
  CHECK(plain.port >= 20000);
  CHECK(plain.port < 32000);
  CHECK(detect_launch(with(kSrun, {{"SLURM_PROCID", "5"}})).port == plain.port);
  CHECK(detect_launch(with(kSrun, {{"SLURM_STEP_ID", "3"}})).port != plain.port);
  CHECK_FALSE(detect_launch(with(kSrun, {{"SLURM_PROCID", "5"}})).serves_store);

  const Launch named = detect_launch(with(kSrun, {{"MASTER_ADDR", "a"}, {"MASTER_PORT", "77"}}));
  CHECK(named.address == "a");
  CHECK(named.port == 77);

  CHECK(detect_launch(with(kSrun, {{"PMIX_RANK", "0"}})).meeting == Meeting::kMpi);
}

TEST_CASE("a SLURM batch script outside of srun is a single process") {
  const Launch launch = detect_launch(
      {{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "4"}, {"SLURM_JOB_NODELIST", "node1"}});
  CHECK(launch.meeting == Meeting::kNone);
  CHECK(launch.size == 1);
}

TEST_CASE("a launcher's single process is a single process") {
  CHECK(detect_launch({{"RANK", "0"}, {"WORLD_SIZE", "1"}}).meeting == Meeting::kNone);
  CHECK(detect_launch({{"OMPI_COMM_WORLD_RANK", "0"}, {"OMPI_COMM_WORLD_SIZE", "1"}}).meeting ==
        Meeting::kNone);
}

TEST_CASE("incomplete or impossible launcher variables are usage errors that name them") {
  CHECK_THAT(usage_error({{"RANK", "0"}}), Contains("WORLD_SIZE is missing"));
  CHECK_THAT(usage_error({{"WORLD_SIZE", "2"}}), Contains("RANK is missing"));
  CHECK_THAT(usage_error({{"RANK", "0"}, {"WORLD_SIZE", "2"}}), Contains("MASTER_PORT is missing"));
  CHECK_THAT(usage_error({{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"MASTER_PORT", "1"}}),
             Contains("MASTER_ADDR is missing"));
  CHECK_THAT(usage_error(with(kTorchrun, {{"RANK", "4"}})), Contains("RANK=4: expected"));
  CHECK_THAT(usage_error(with(kTorchrun, {{"WORLD_SIZE", "2x"}})), Contains("WORLD_SIZE=2x"));
  CHECK_THAT(usage_error(with(kTorchrun, {{"MASTER_PORT", "70000"}})), Contains("MASTER_PORT"));
  CHECK_THAT(usage_error({{"OMPI_COMM_WORLD_SIZE", "2"}}),
             Contains("OMPI_COMM_WORLD_RANK is missing"));
  CHECK_THAT(usage_error(with(kSrun, {{"SLURM_STEP_NODELIST", ""}})),
             Contains("which machines the step has"));
}

TEST_CASE("the first machine of a SLURM list") {
  CHECK(first_host("login") == "login");
  CHECK(first_host("a,b[1-2]") == "a");
  CHECK(first_host("gpu[007-012,20]-ib,x") == "gpu007-ib");
  CHECK(first_host("r[1-3]n[05,7]") == "r1n05");
  CHECK(first_host("") == "");
  CHECK(first_host("broken[1") == "");
}
