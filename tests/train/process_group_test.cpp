#include "ldm/train/process_group.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>

#include "ldm/core/device.h"
#include "ldm/core/error.h"
#include "tests/support/catch.h"
#include "tests/support/free_port.h"
#include "tests/support/temp_dir.h"
#include "tests/train/thread_group.h"

using ldm::cat;
using ldm::test::error_of;
using ldm::test::run_ranks;
using ldm::test::ThreadGroup;
using namespace ldm::train;

namespace {

struct NetImpl : torch::nn::Module {
  explicit NetImpl(double value) {
    weight = register_parameter(
        "weight", at::full({2, 3, 4, 4}, value).contiguous(at::MemoryFormat::ChannelsLast));
    count = register_buffer("count", at::full({3}, static_cast<std::int64_t>(value), c10::kLong));
  }
  at::Tensor weight, count;
};

LaunchRequest request_of(int rank, int size, int port, std::chrono::milliseconds timeout) {
  LaunchRequest request;
  request.timeout = timeout;
  request.environment = {{"RANK", std::to_string(rank)},
                         {"WORLD_SIZE", std::to_string(size)},
                         {"LOCAL_RANK", std::to_string(rank)},
                         {"MASTER_ADDR", "localhost"},
                         {"MASTER_PORT", std::to_string(port)}};
  return request;
}

/// A thread for each of `size` ranks; the message of each rank's error.
std::vector<std::string> over_a_store(int size, std::chrono::milliseconds timeout,
                                      const std::function<void(ProcessGroup&)>& body) {
  const int port = ldm::test::free_port();
  std::vector<std::string> errors(static_cast<std::size_t>(size));
  run_ranks(size, [&](const std::shared_ptr<ThreadGroup>& self) {
    const int rank = self->rank();
    try {
      body(*open_process_group(request_of(rank, size, port, timeout)));
    } catch (const ldm::Error& error) {
      errors[static_cast<std::size_t>(rank)] = error.message();
    }
  });
  return errors;
}

}  // namespace

TEST_CASE("the shares of a batch are contiguous and weighted by their size") {
  run_ranks(3, [](const std::shared_ptr<ThreadGroup>& group) {
    const BatchShare share = batch_share(8, *group);
    const std::vector<std::pair<int, int>> expected = {{0, 2}, {2, 5}, {5, 8}};
    CHECK_RANK(share.begin == expected[static_cast<std::size_t>(group->rank())].first);
    CHECK_RANK(share.end == expected[static_cast<std::size_t>(group->rank())].second);
    CHECK_RANK(all_reduce_mean(share.weight, *group) == 1);
    CHECK_RANK(batch_share(6, *group).weight == 1);
    CHECK_RANK(batch_share(0, *group).end == 0);
  });
}

TEST_CASE("parameters and buffers become those of rank 0, layouts kept") {
  run_ranks(3, [](const std::shared_ptr<ThreadGroup>& group) {
    NetImpl net(group->rank() + 5);
    broadcast_parameters(net, *group);
    CHECK_RANK(at::equal(net.weight.detach(), at::full({2, 3, 4, 4}, 5.0)));
    CHECK_RANK(at::equal(net.count, at::full({3}, 5, c10::kLong)));
    CHECK_RANK(net.weight.is_contiguous(at::MemoryFormat::ChannelsLast));
    CHECK_RANK(net.weight.requires_grad());
  });
}

TEST_CASE("ranks that differ are listed on every rank") {
  run_ranks(4, [](const std::shared_ptr<ThreadGroup>& group) {
    all_ranks_agree("the configuration", "same", *group);
    const std::string error = error_of(
        [&] { all_ranks_agree("the configuration", group->rank() % 2 == 1 ? "b" : "a", *group); });
    CHECK_RANK(error == cat("rank ", group->rank(),
                            " of 4: the configuration is not the same on "
                            "all ranks: rank 1, 3 differ from rank 0"));
  });
}

TEST_CASE("a single process loads no MPI and no NCCL") {
  LaunchRequest request;
  request.environment = {};
  const auto group = open_process_group(request);
  CHECK(group->size() == 1);
  CHECK(group->rank() == 0);
  CHECK(all_reduce_mean(2.5, *group) == 2.5);
  all_ranks_agree("anything", "x", *group);
  group->barrier();
  group->close();
  const std::string maps = ldm::test::slurp("/proc/self/maps");
  CHECK(maps.find("libtorch_cpu") != std::string::npos);
  CHECK(maps.find("libmpi") == std::string::npos);
  // Another test of this program may have loaded it on a machine with a GPU.
  if (ldm::loaded_cuda() == nullptr) CHECK(maps.find("nccl") == std::string::npos);
}

TEST_CASE("mpirun without the MPI plugin is a usage error that says what to do") {
  LaunchRequest request;
  request.environment = {{"OMPI_COMM_WORLD_RANK", "0"}, {"OMPI_COMM_WORLD_SIZE", "2"}};
  try {
    // The tests lie elsewhere than the programs, so no plugin is beside them.
    open_process_group(request);
    FAIL("no error");
  } catch (const ldm::Error& error) {
    CHECK(error.code() == ldm::ErrorCode::kUsage);
    CHECK_THAT(error.message(), Contains("started by mpirun as 2 processes") &&
                                    Contains("libldm_mpi.so is missing"));
    CHECK_THAT(error.hint(), Contains("libopenmpi-dev"));
  }
}

TEST_CASE("sums, broadcasts and barriers over a store") {
  const int size = GENERATE(2, 3);
  const auto errors = over_a_store(size, std::chrono::seconds(20), [size](ProcessGroup& group) {
    CHECK_RANK(group.name() == "store");
    // More than one of the store's pieces, and begun before the first is waited for.
    at::Tensor large = at::arange(1'500'000, c10::kFloat) * (group.rank() + 1);
    at::Tensor small = at::full({3}, group.rank() + 0.25, c10::kDouble);
    at::Tensor whole = at::full({2}, group.rank(), c10::kLong);
    const auto first = group.all_reduce_sum(large);
    const auto second = group.all_reduce_sum(small);
    const auto third = group.all_reduce_sum(whole);
    third->wait();
    second->wait();
    first->wait();
    const double ranks = size * (size - 1) / 2.0;
    CHECK_RANK(at::equal(large, at::arange(1'500'000, c10::kFloat) * (ranks + size)));
    CHECK_RANK(at::equal(small, at::full({3}, ranks + 0.25 * size, c10::kDouble)));
    CHECK_RANK(at::equal(whole, at::full({2}, static_cast<std::int64_t>(ranks), c10::kLong)));
    at::Tensor sent = at::full({3, 3}, group.rank(), c10::kHalf);
    group.broadcast(sent, 1)->wait();
    CHECK_RANK(at::equal(sent, at::full({3, 3}, 1, c10::kHalf)));
    group.barrier();
    CHECK_RANK(all_reduce_mean(group.rank(), group) == ranks / size);
    group.close();
    CHECK_RANK(!error_of([&] { group.barrier(); }).empty());
  });
  for (const std::string& error : errors) CHECK(error.empty());
}

TEST_CASE("a group takes contiguous CPU numbers only") {
  const auto errors = over_a_store(2, std::chrono::seconds(20), [](ProcessGroup& group) {
    at::Tensor halves = at::full({4}, 1, c10::kHalf);
    CHECK_RANK(!error_of([&] { group.all_reduce_sum(halves); }).empty());
    at::Tensor turned = at::full({4, 2}, 1.0).t();
    CHECK_RANK(!error_of([&] { group.all_reduce_sum(turned); }).empty());
  });
  for (const std::string& error : errors) CHECK(error.empty());
}

TEST_CASE("a rank that leaves by an error ends the wait of the others") {
  const auto errors = over_a_store(3, std::chrono::seconds(60), [](ProcessGroup& group) {
    if (group.rank() == 2) throw ldm::Error::input("no such data set");
    at::Tensor numbers = at::full({4}, 1.0);
    const auto work = group.all_reduce_sum(numbers);
    CHECK_RANK(!error_of([&] { work->wait(); }).empty());
    // The group is of no use any more, and says so at once.
    group.barrier();
  });
  // Rank 0 ends with the store, so rank 1 may see either.
  CHECK_THAT(errors[0], Contains("rank 0 of 3 lost the run: rank 2 has left it"));
  CHECK_THAT(errors[1], Contains("rank 1 of 3 lost the run"));
  CHECK(errors[2] == "no such data set");
}

TEST_CASE("a rank that does not come is named after the timeout") {
  const int port = ldm::test::free_port();
  try {
    open_process_group(request_of(0, 2, port, std::chrono::milliseconds(300)));
    FAIL("no error");
  } catch (const ldm::Error& error) {
    CHECK_THAT(error.message(), Contains("rank 1 does not answer at the store localhost:"));
    CHECK_THAT(error.hint(), Contains("--resume"));
  }
  try {
    open_process_group(request_of(1, 2, port, std::chrono::milliseconds(300)));
    FAIL("no error");
  } catch (const ldm::Error& error) {
    CHECK_THAT(error.message(), Contains("rank 1 of 2 cannot reach the store at localhost:"));
  }
}
