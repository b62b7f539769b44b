#include "ldm/train/gradient_reducer.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <limits>

#include "ldm/core/error.h"
#include "ldm/train/draws.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"
#include "tests/train/thread_group.h"

using ldm::cat;
using ldm::test::error_of;
using ldm::test::run_ranks;
using ldm::test::ThreadGroup;
using ldm::train::batch_share;
using ldm::train::draw_for;
using ldm::train::GradientReducer;

namespace {

struct NetImpl : torch::nn::Module {
  explicit NetImpl(at::ScalarType dtype = at::kFloat) {
    first = register_parameter("first", at::randn({16, 8}, draw_for(1, "w", 0), dtype));
    second = register_parameter("second", at::randn({16, 16}, draw_for(1, "w", 1), dtype));
    third = register_parameter("third", at::randn({4, 16}, draw_for(1, "w", 2), dtype));
    unused = register_parameter("unused", at::ones({5}, dtype));
  }
  at::Tensor forward(const at::Tensor& x) const {
    return at::linear(at::relu(at::linear(at::relu(at::linear(x, first)), second)), third);
  }
  at::Tensor first, second, third, unused;
};

/// Samples [begin, end) of a batch of 12, summed up so that shares add to the whole.
at::Tensor share_loss(const NetImpl& net, std::int64_t begin, std::int64_t end) {
  const at::Tensor x =
      at::randn({12, 8}, draw_for(1, "x", 0)).to(net.first.dtype()).slice(0, begin, end);
  return net.forward(x).square().mean();
}

std::vector<at::Tensor> gradients(const NetImpl& net) {
  std::vector<at::Tensor> list;
  for (const at::Tensor& parameter : net.parameters()) list.push_back(parameter.grad());
  return list;
}

std::vector<at::Tensor> gradients_of_one_process(at::ScalarType dtype = at::kFloat) {
  NetImpl net(dtype);
  share_loss(net, 0, 12).backward();
  return gradients(net);
}

constexpr std::size_t kTiny = 1;  // bytes: every parameter is its own bucket

}  // namespace

TEST_CASE("averaged gradients equal those of one process with the whole batch") {
  const int size = GENERATE(2, 3, 4, 5);
  const std::size_t bucket_bytes =
      GENERATE(std::size_t{1}, std::size_t{1200}, std::size_t{1} << 20U);
  const at::ScalarType dtype = GENERATE(at::kFloat, at::kDouble);
  const double tolerance = dtype == at::kFloat ? 4e-6 : 1e-13;
  const std::vector<at::Tensor> expected = gradients_of_one_process(dtype);
  std::vector<std::vector<at::Tensor>> all(static_cast<std::size_t>(size));
  run_ranks(size, [&](const std::shared_ptr<ThreadGroup>& group) {
    NetImpl net(dtype);
    GradientReducer reducer(net.parameters(), group, bucket_bytes);
    // 12 samples on 5 ranks: shares of two and of three.
    const auto share = batch_share(12, *group);
    reducer.begin();
    (share_loss(net, share.begin, share.end) * share.weight).backward();
    reducer.finish();
    all[static_cast<std::size_t>(group->rank())] = gradients(net);
  });
  for (const std::vector<at::Tensor>& got : all) {
    for (std::size_t i = 0; i < expected.size(); ++i) {
      CHECK_RANK(got[i].defined() == expected[i].defined());
      if (!expected[i].defined()) continue;
      ldm::test::expect_close(got[i], expected[i], tolerance);
      CHECK_RANK(at::equal(got[i], all[0][i]));
    }
  }
}

TEST_CASE("buckets are filled in reverse order up to their size") {
  run_ranks(2, [](const std::shared_ptr<ThreadGroup>& group) {
    const std::vector<at::Tensor> parameters = {
        at::ones({100}).requires_grad_(), at::ones({10}).requires_grad_(), at::ones({7}),
        at::ones({20}).requires_grad_(), at::ones({6}, c10::kDouble).requires_grad_()};
    GradientReducer reducer(parameters, group, 120);
    reducer.finish();
    // Each bucket: its numbers and one flag a parameter; the frozen one is in none.
    CHECK_RANK(reducer.bucket_count() == 3);
    CHECK_RANK((group->sums == std::vector<std::int64_t>{6 + 1, 30 + 2, 100 + 1}));
  });
}

TEST_CASE("buckets leave while backward goes on, last layer first") {
  run_ranks(2, [](const std::shared_ptr<ThreadGroup>& group) {
    NetImpl net;
    GradientReducer reducer({net.first, net.second, net.third}, group, kTiny);
    std::vector<bool> backward_goes_on;
    group->on_sum = [&] { backward_goes_on.push_back(!net.first.grad().defined()); };
    reducer.begin();
    share_loss(net, 0, 12).backward();
    CHECK_RANK((backward_goes_on == std::vector<bool>{true, true, false}));
    reducer.finish();
    CHECK_RANK((group->sums == std::vector<std::int64_t>{65, 257, 129}));
  });
}

TEST_CASE("a bucket whose turn has not come waits, so that all ranks keep one order") {
  run_ranks(2, [](const std::shared_ptr<ThreadGroup>& group) {
    NetImpl net;
    // Reverse order begins with `unused`, whose gradient never comes.
    GradientReducer reducer(net.parameters(), group, kTiny);
    reducer.begin();
    share_loss(net, 0, 12).backward();
    CHECK_RANK(group->sums.empty());
    reducer.finish();
    CHECK_RANK((group->sums == std::vector<std::int64_t>{6, 65, 257, 129}));
  });
}

TEST_CASE("gradients accumulate over micro-batches and are sent once") {
  const std::vector<at::Tensor> expected = gradients_of_one_process();
  std::vector<at::Tensor> got;
  run_ranks(2, [&](const std::shared_ptr<ThreadGroup>& group) {
    NetImpl net;
    GradientReducer reducer(net.parameters(), group);
    const auto share = batch_share(12, *group);
    for (std::int64_t sample = share.begin; sample < share.end; ++sample) {
      if (sample + 1 == share.end) reducer.begin();
      (share_loss(net, sample, sample + 1) / (share.end - share.begin)).backward();
    }
    reducer.finish();
    CHECK_RANK(group->sums.size() == 1);
    if (group->rank() == 0) got = gradients(net);
  });
  for (std::size_t i = 0; i < 3; ++i) ldm::test::expect_close(got[i], expected[i], 4e-6);
}

TEST_CASE("a gradient that only some ranks have is averaged with zeros") {
  run_ranks(2, [](const std::shared_ptr<ThreadGroup>& group) {
    at::Tensor some = at::ones({3}).requires_grad_();
    at::Tensor none = at::ones({2}).requires_grad_();
    GradientReducer reducer({some, none}, group);
    for (int step = 0; step < 2; ++step) {
      some.mutable_grad() = at::Tensor();
      if (group->rank() == 1) {
        reducer.begin();
        (some * 4).sum().backward();
      }
      reducer.finish();
      CHECK_RANK(some.grad().defined());
      CHECK_RANK(at::equal(some.grad(), at::full({3}, 2.0)));
      CHECK_RANK(!none.grad().defined());
    }
  });
}

TEST_CASE("half-precision and strided gradients keep dtype and layout") {
  run_ranks(2, [](const std::shared_ptr<ThreadGroup>& group) {
    at::Tensor half = at::ones({4}, c10::kBFloat16).requires_grad_();
    at::Tensor image = at::ones({2, 3, 4, 4}).contiguous(at::MemoryFormat::ChannelsLast);
    image.requires_grad_();
    GradientReducer reducer({half, image}, group);
    half.mutable_grad() = at::full({4}, group->rank() + 1.0, c10::kBFloat16);
    const at::Tensor numbers = at::arange(96, c10::kFloat).view({2, 3, 4, 4});
    image.mutable_grad() =
        (numbers * (group->rank() * 2)).contiguous(at::MemoryFormat::ChannelsLast);
    reducer.finish();
    CHECK_RANK(half.grad().scalar_type() == c10::kBFloat16);
    CHECK_RANK(half.grad()[0].item<double>() == 1.5);
    CHECK_RANK(image.grad().is_contiguous(at::MemoryFormat::ChannelsLast));
    CHECK_RANK(at::equal(image.grad(), numbers));
  });
}

TEST_CASE("a NaN on one rank is a NaN on all") {
  run_ranks(3, [](const std::shared_ptr<ThreadGroup>& group) {
    at::Tensor weight = at::ones({2}).requires_grad_();
    GradientReducer reducer({weight}, group);
    const double factor = group->rank() == 1 ? std::numeric_limits<double>::quiet_NaN() : 1;
    reducer.begin();
    (weight * factor).sum().backward();
    reducer.finish();
    CHECK_RANK(weight.grad().isnan().all().item<bool>());
  });
}

TEST_CASE("a parameter used twice is summed once; backward after sending is an error") {
  run_ranks(2, [](const std::shared_ptr<ThreadGroup>& group) {
    at::Tensor weight = at::ones({2}).requires_grad_();
    GradientReducer reducer({weight}, group);
    reducer.begin();
    (weight * weight + weight).sum().backward();
    CHECK_RANK(group->sums.size() == 1);
    const std::string error = error_of([&] { weight.sum().backward(); });
    CHECK_RANK(error.find("again after it was sent") != std::string::npos);
    reducer.finish();
    // What stood when it was sent, on every rank alike.
    CHECK_RANK(at::equal(weight.grad(), at::full({2}, 3.0)));
  });
}

TEST_CASE("a group of one hooks nothing and leaves gradients alone") {
  const auto group = ldm::train::open_process_group({false, std::chrono::seconds(1), {}});
  CHECK(group->name() == "single");
  NetImpl net;
  GradientReducer reducer(net.parameters(), group);
  CHECK(reducer.bucket_count() == 0);
  reducer.begin();
  share_loss(net, 0, 12).backward();
  const void* before = net.first.grad().const_data_ptr();
  reducer.finish();
  CHECK(net.first.grad().const_data_ptr() == before);
  CHECK(at::equal(net.first.grad(), gradients_of_one_process()[0]));
}

TEST_CASE("a reducer that is gone leaves its parameters to the next") {
  run_ranks(2, [](const std::shared_ptr<ThreadGroup>& group) {
    at::Tensor weight = at::ones({2}).requires_grad_();
    {
      GradientReducer first({weight}, group);
      CHECK_RANK(!error_of([&] { GradientReducer({weight}, group); }).empty());
    }
    weight.sum().backward();
    CHECK_RANK(group->sums.empty());
    GradientReducer second({weight}, group);
    second.finish();
    CHECK_RANK(at::equal(weight.grad(), at::ones({2})));
  });
}
