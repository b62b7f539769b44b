// A run of two real processes, as launchers start them, against one process.

#include <filesystem>
#include <future>
#include <optional>

#include "tests/support/catch.h"
#include "tests/support/free_port.h"
#include "tests/support/run_program.h"

using ldm::test::ProgramResult;
using ldm::test::ProgramSetup;
using ldm::test::run_program;

namespace {

namespace fs = std::filesystem;
using Arguments = std::vector<std::string>;

const std::string kWorker = LDM_BINARY_DIR "/bin/group_worker";

ProgramSetup setup_of(double timeout_s) {
  ProgramSetup setup;
  setup.variables = {{"OMP_NUM_THREADS", "1"}, {"OMP_WAIT_POLICY", "passive"}};
  setup.timeout_s = timeout_s;
  return setup;
}

Arguments worker(const Arguments& arguments) {
  Arguments command = {kWorker};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

/// Two workers with torchrun's variables, by rank.
std::vector<ProgramResult> over_a_store(const Arguments& arguments) {
  const int port = ldm::test::free_port();
  std::vector<std::future<ProgramResult>> running;
  for (int rank = 0; rank < 2; ++rank) {
    ProgramSetup setup = setup_of(60);
    setup.variables["RANK"] = setup.variables["LOCAL_RANK"] = std::to_string(rank);
    setup.variables["WORLD_SIZE"] = "2";
    setup.variables["MASTER_ADDR"] = "localhost";
    setup.variables["MASTER_PORT"] = std::to_string(port);
    running.push_back(std::async(std::launch::async, [command = worker(arguments), setup] {
      return run_program(command, setup);
    }));
  }
  std::vector<ProgramResult> results;
  for (auto& one : running) results.push_back(one.get());
  return results;
}

/// The whole run under mpirun; no value where mpirun or the plugin is missing.
std::optional<ProgramResult> over_mpi(const Arguments& arguments) {
  const fs::path mpirun = "/usr/bin/mpirun";
  if (!fs::exists(mpirun) || !fs::exists(LDM_BINARY_DIR "/bin/libldm_mpi.so")) {
    WARN("SKIP: no mpirun, or built without MPI");
    return std::nullopt;
  }
  Arguments command = {mpirun, "-n", "2", "--oversubscribe", "--allow-run-as-root"};
  for (const std::string& word : worker(arguments)) command.push_back(word);
  return run_program(command, setup_of(60));
}

/// The number after "loss " of a worker's line.
double loss_of(const std::string& out) {
  const std::size_t at = out.find("loss ");
  REQUIRE(at != std::string::npos);
  return std::stod(out.substr(at + 5));
}

double loss_of_one_process() {
  const ProgramResult one = run_program(worker({"train"}), setup_of(60));
  REQUIRE(one.exit_code == 0);
  CHECK_THAT(one.out, Contains("rank 0 of 1 over single"));
  return loss_of(one.out);
}

}  // namespace

TEST_CASE("two processes over a store train as one does") {
  const double expected = loss_of_one_process();
  const auto results = over_a_store({"train", "20000"});
  for (std::size_t rank = 0; rank < 2; ++rank) {
    INFO(results[rank].err);
    REQUIRE(results[rank].exit_code == 0);
    CHECK_THAT(results[rank].out, Contains("rank " + std::to_string(rank) + " of 2 over store"));
    CHECK(loss_of(results[rank].out) == Approx(expected).epsilon(1e-6));
    CHECK(results[rank].err.empty());
  }
  CHECK(loss_of(results[0].out) == loss_of(results[1].out));
}

TEST_CASE("two processes under mpirun train as one does") {
  const auto run = over_mpi({"train", "20000"});
  if (!run) return;
  INFO(run->err);
  REQUIRE(run->exit_code == 0);
  CHECK_THAT(run->out, Contains("rank 0 of 2 over mpi") && Contains("rank 1 of 2 over mpi"));
  CHECK(loss_of(run->out) == Approx(loss_of_one_process()).epsilon(1e-6));
}

TEST_CASE("a killed worker ends the run of the other over a store") {
  const int killed = GENERATE(0, 1);
  const auto results = over_a_store({"kill", "5000", std::to_string(killed)});
  const ProgramResult& dead = results[static_cast<std::size_t>(killed)];
  const ProgramResult& other = results[static_cast<std::size_t>(1 - killed)];
  CHECK(dead.killed);
  CHECK(other.exit_code == 1);
  CHECK_FALSE(other.killed);
  CHECK_THAT(other.out, Contains("summed"));
  CHECK_THAT(other.err, Contains("lost the run: ") && Contains("--resume"));
  // Rank 0 takes the store with it, so its end is seen at once; rank 1's only by its silence.
  CHECK_THAT(other.err, Contains(killed == 1 ? "rank 1 does not answer" : "ends with rank 0"));
}

TEST_CASE("a worker that fails ends the run of the other over a store") {
  const auto results = over_a_store({"throw", "20000", "1"});
  CHECK(results[1].exit_code == 3);
  CHECK_THAT(results[1].err, Contains("no such data set"));
  CHECK(results[0].exit_code == 1);
  CHECK_THAT(results[0].err, Contains("rank 1 has left it"));
}

TEST_CASE("a worker that is killed or fails ends the run under mpirun") {
  const std::string way = GENERATE(as<std::string>{}, "kill", "throw");
  const auto run = over_mpi({way, "20000", "1"});
  if (!run) return;
  CHECK(run->exit_code == (way == "kill" ? 137 : 3));
  CHECK_THAT(run->out, Contains("rank 0 summed") && Contains("rank 1 summed"));
  if (way == "throw") CHECK_THAT(run->err, Contains("no such data set"));
}

TEST_CASE("processes with different configurations all refuse to start") {
  const auto results = over_a_store({"disagree", "20000"});
  for (const ProgramResult& result : results) {
    CHECK(result.exit_code == 2);
    CHECK_THAT(result.err, Contains("the run's configuration is not the same on all ranks: rank 1 "
                                    "differs from rank 0"));
  }
  const auto run = over_mpi({"disagree", "20000"});
  if (!run) return;
  CHECK(run->exit_code == 2);
  CHECK_THAT(run->err, Contains("is not the same on all ranks"));
}
