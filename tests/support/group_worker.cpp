// One process of a run, for the tests of launchers: group_worker train|kill|throw|disagree|time
// [TIMEOUT_MS] [RANK]. Says what it computed in one line on stdout, its error on stderr.

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/stack.h>
#include <signal.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <chrono>
#include <iomanip>
#include <iostream>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/hash.h"
#include "ldm/train/draws.h"
#include "ldm/train/gradient_reducer.h"
#include "ldm/train/process_group.h"

namespace {

using namespace ldm::train;

struct NetImpl : torch::nn::Module {
  explicit NetImpl(std::uint64_t seed) {
    first = register_parameter("first", at::randn({64, 32}, draw_for(seed, "weights", 0)) * 0.1);
    second = register_parameter("second", at::randn({8, 64}, draw_for(seed, "weights", 1)) * 0.1);
    register_buffer("count", at::full({3}, static_cast<double>(seed)));
  }
  at::Tensor loss(std::int64_t sample) const {
    const auto number = static_cast<std::uint64_t>(sample);
    const at::Tensor x = at::randn({32}, draw_for(0, "x", number));
    const at::Tensor y = at::randn({8}, draw_for(0, "y", number));
    return (at::linear(at::relu(at::linear(x, first)), second) - y).square().mean();
  }
  at::Tensor first, second;
};

/// Five steps of two micro-batches over a global batch of 8.
void train(const std::shared_ptr<ProcessGroup>& group) {
  NetImpl net(static_cast<std::uint64_t>(group->rank()));
  broadcast_parameters(net, *group);
  GradientReducer reducer(net.parameters(), group, 4096);
  constexpr std::int64_t kBatch = 8;
  const BatchShare share = batch_share(kBatch, *group);
  double mean = 0;
  for (std::int64_t step = 0; step < 5; ++step) {
    for (at::Tensor& parameter : net.parameters()) parameter.mutable_grad() = at::Tensor();
    double local = 0;
    for (std::int64_t sample = share.begin; sample < share.end; ++sample) {
      if (sample + 1 == share.end) reducer.begin();
      const at::Tensor loss = net.loss(step * kBatch + sample) / (share.end - share.begin);
      (loss * share.weight).backward();
      local += loss.item<double>() * share.weight;
    }
    reducer.finish();
    const torch::NoGradGuard no_grad;
    for (at::Tensor& parameter : net.parameters()) parameter.sub_(parameter.grad(), 0.5);
    mean = all_reduce_mean(local, *group);
  }
  const auto bytes = [](const at::Tensor& tensor) {
    return std::string(static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes());
  };
  const std::string weights = bytes(net.first.detach()) + bytes(net.second.detach());
  all_ranks_agree("the trained model", weights, *group);
  std::cout << ldm::cat("rank ", group->rank(), " of ", group->size(), " over ", group->name(),
                        " loss ", std::setprecision(9), mean, "\n")
            << std::flush;
}

/// A sum of more than one piece, then the end of one rank where the others expect another sum.
void lose(const std::shared_ptr<ProcessGroup>& group, int lost_rank, bool killed) {
  at::Tensor numbers = at::full({3'000'000}, group->rank() + 1.0).to(c10::kFloat);
  group->all_reduce_sum(numbers)->wait();
  const double expected = group->size() * (group->size() + 1) / 2.0;
  if (!(numbers == expected).all().item<bool>()) throw ldm::Error::internal("a wrong sum");
  std::cout << ldm::cat("rank ", group->rank(), " summed\n") << std::flush;
  if (group->rank() == lost_rank) {
    // Rank 0 takes the store with it, from which the others may still be fetching the sum.
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    if (killed) raise(SIGKILL);
    throw ldm::Error::input("no such data set");
  }
  group->all_reduce_sum(numbers)->wait();
}

void time_sums(const std::shared_ptr<ProcessGroup>& group) {
  constexpr int kTimes = 10;
  for (const std::int64_t count : {std::int64_t{1}, std::int64_t{25} << 18}) {
    at::Tensor numbers = at::ones({count});
    group->barrier();
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < kTimes; ++i) group->all_reduce_sum(numbers)->wait();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    if (group->rank() == 0) {
      std::cout << group->name() << ": " << count * 4 << " bytes in " << took.count() / kTimes * 1e3
                << " ms\n";
    }
  }
}

void run(const std::string& mode, const LaunchRequest& request, int rank) {
  const std::shared_ptr<ProcessGroup> group = open_process_group(request);
  if (mode == "train") train(group);
  if (mode == "kill" || mode == "throw") lose(group, rank, mode == "kill");
  if (mode == "time") time_sums(group);
  if (mode == "disagree") {
    all_ranks_agree("the run's configuration", ldm::cat("steps ", group->rank()), *group);
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const std::vector<std::string> args(argv + 1, argv + argc);
    LaunchRequest request;
    if (args.size() > 1) request.timeout = std::chrono::milliseconds(std::stol(args[1]));
    run(args.at(0), request, args.size() > 2 ? std::stoi(args[2]) : -1);
  } catch (const ldm::Error& error) {
    std::cerr << ldm::cat("group_worker: ", error.message(), "\nhint: ", error.hint(), "\n");
    return error.exit_code();
  } catch (const std::exception& error) {
    std::cerr << ldm::cat("group_worker: unexpected: ", error.what(), "\n");
    return 99;
  }
  return 0;
}
