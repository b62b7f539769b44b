#include "ldm/train/training_loop.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/stack.h>

#include <cmath>
#include <fstream>

#include "ldm/core/error.h"
#include "ldm/train/draws.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tensors.h"
#include "tests/train/thread_group.h"

using namespace ldm;
using namespace ldm::train;

namespace {

/// Fits a line's slopes to samples that are keyed by their numbers.
class Fit final : public Task {
 public:
  explicit Fit(std::int64_t poisoned_from = -1, std::int64_t poisoned_to = -1)
      : poisoned_from_(poisoned_from), poisoned_to_(poisoned_to) {
    weight = at::full({4}, 0.5).requires_grad_(true);
  }

  std::vector<Phase> phases() override { return {{"fit", {{"weight", weight}}, 1.0}}; }
  bool active(std::size_t, std::int64_t) const override { return true; }
  at::Tensor loss(std::size_t, SampleRange samples, std::int64_t step, Metrics& metrics) override {
    std::vector<at::Tensor> rows;
    for (std::int64_t i = 0; i < samples.count; ++i) {
      rows.push_back(
          at::randn({4}, draw_for(3, "row", static_cast<std::uint64_t>(samples.first + i))));
    }
    const at::Tensor x = at::stack(rows);
    const at::Tensor truth = at::full({4}, 2.0);
    at::Tensor loss = (x.mul(weight).sum(1) - x.mul(truth).sum(1)).square().mean();
    if (step >= poisoned_from_ && step < poisoned_to_) loss = loss * std::nan("");
    metrics.add("loss", loss.item<double>(), samples.count);
    losses.push_back(loss.item<double>());
    return loss;
  }
  TensorMap state() const override { return {{"model.weight", weight}}; }
  void export_model(const std::filesystem::path& folder) override {
    std::ofstream(folder / "weight.txt") << weight.sum().item<double>();
  }

  at::Tensor weight;
  std::vector<double> losses;

 private:
  std::int64_t poisoned_from_, poisoned_to_;
};

RunConfig make_config(const std::filesystem::path& folder, std::int64_t steps = 12) {
  RunConfig config;
  config.run.output_dir = folder.string();
  config.run.steps = steps;
  config.run.batch_size = 8;
  config.run.ema_decay = 0.9;
  config.run.checkpoint_every = 4;
  config.run.log_every = 1;
  config.optimizer.learning_rate = 0.1;
  config.document = {{"run", {{"steps", steps}, {"log_every", 1}}}};
  config.source = "run.json";
  return config;
}

RunPlace alone() { return {open_process_group(), at::kCPU}; }

std::vector<double> logged(Task& task, const RunConfig& config, const RunPlace& place, bool resume,
                           std::int64_t stop_at = -1) {
  std::vector<double> losses;
  LoopCallbacks callbacks;
  std::int64_t reached = 0;
  callbacks.report = [&](const StepReport& report) {
    losses.push_back(report.metrics.at("loss"));
    reached = report.step;
  };
  callbacks.stop = [&] { return reached == stop_at; };
  train::train(task, config, place, resume, callbacks);
  return losses;
}

}  // namespace

TEST_CASE("a run that was stopped and resumed is bit-equal to one that was not") {
  const test::TempDir folder;
  Fit whole, first, second;
  const auto expected = logged(whole, make_config(folder.path() / "a"), alone(), false);
  const RunConfig config = make_config(folder.path() / "b");
  auto parts = logged(first, config, alone(), false, 7);
  REQUIRE(parts.size() == 7);
  for (const double loss : logged(second, config, alone(), true)) parts.push_back(loss);
  CHECK(parts == expected);
  CHECK(at::equal(second.weight, whole.weight));
  const auto tensors = [](const RunConfig& run) {
    return Checkpoints::read_state_tensors(
        *Checkpoints(std::filesystem::path(run.run.output_dir) / "checkpoints", 2).latest());
  };
  const TensorMap a = tensors(make_config(folder.path() / "a")), b = tensors(config);
  REQUIRE(a.size() == b.size());
  for (const auto& [name, value] : a) {
    INFO(name);
    CHECK(at::equal(value, b.at(name)));
  }
}

TEST_CASE("micro batches and ranks give the losses and weights of one process") {
  const test::TempDir folder;
  Fit whole, pieces;
  const auto expected = logged(whole, make_config(folder.path() / "a"), alone(), false);
  RunConfig config = make_config(folder.path() / "b");
  config.run.micro_batch_size = 3;
  const auto losses = logged(pieces, config, alone(), false);
  REQUIRE(losses.size() == expected.size());
  for (std::size_t i = 0; i < losses.size(); ++i) CHECK(losses[i] == Approx(expected[i]));
  test::expect_close(pieces.weight.detach(), whole.weight.detach(), 1e-6, "micro batches");

  const RunConfig shared = make_config(folder.path() / "c");
  std::vector<Fit> ranks(2);
  test::run_ranks(2, [&](std::shared_ptr<ProcessGroup> group) {
    const auto rank = static_cast<std::size_t>(group->rank());
    logged(ranks[rank], shared, {group, at::kCPU}, false);
  });
  test::expect_close(ranks[0].weight.detach(), whole.weight.detach(), 1e-6, "two ranks");
  CHECK(at::equal(ranks[0].weight, ranks[1].weight));
}

TEST_CASE("steps that are not finite are skipped and counted, too many in a row end the run") {
  const test::TempDir folder;
  Fit few(3, 5);
  RunConfig config = make_config(folder.path() / "few");
  config.run.max_skipped_steps = 3;
  const RunResult result = train::train(few, config, alone(), false, {});
  CHECK(result.finished);
  CHECK(result.skipped == 2);
  CHECK(std::isfinite(few.weight.detach().sum().item<double>()));

  Fit many(5, 100);
  RunConfig doomed = make_config(folder.path() / "many");
  doomed.run.max_skipped_steps = 3;
  try {
    train::train(many, doomed, alone(), false, {});
    FAIL("the run went on");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::kNonFinite);
    CHECK(error.message().find("step 8") != std::string::npos);
  }
  // The checkpoint of step 4 is there to go on from.
  CHECK(Checkpoints(folder.path() / "many" / "checkpoints", 2).latest()->filename() ==
        "step-00000004");
}

TEST_CASE("a run is resumed with its own configuration only, and never overwritten") {
  const test::TempDir folder;
  Fit task, again;
  RunConfig config = make_config(folder.path() / "run");
  CHECK_THROWS_AS(train::train(task, config, alone(), true, {}), Error);  // nothing to resume
  train::train(task, config, alone(), false, {});
  CHECK_THROWS_AS(train::train(again, config, alone(), false, {}), Error);
  config.document["run"]["log_every"] = 5;
  CHECK_NOTHROW(train::train(again, config, alone(), true, {}));
  config.document["run"]["steps"] = 20;
  try {
    train::train(again, config, alone(), true, {});
    FAIL("another configuration was taken");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::kInput);
    CHECK(error.message().find("/run/steps: 12, now 20") != std::string::npos);
  }
}

TEST_CASE("a checkpoint that cannot be written leaves the one before") {
  const test::TempDir folder;
  Checkpoints checkpoints(folder.path(), 1);
  const TensorMap tensors{{"w", at::full({3}, 1.0)}};
  const auto nothing = [](const std::filesystem::path&) {};
  const auto first = checkpoints.save({.step = 1, .config = {{"a", 1}}}, tensors, nothing);
  CHECK_THROWS_AS(
      checkpoints.save({.step = 2}, tensors,
                       [](const std::filesystem::path&) { throw Error::output("no space left"); }),
      Error);
  CHECK(checkpoints.latest() == first);
  CHECK(Checkpoints::read_state(first).config.at("a") == 1);
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()),
                      std::filesystem::directory_iterator()) == 1);
  checkpoints.save({.step = 2}, tensors, nothing);
  CHECK_FALSE(std::filesystem::exists(first));
}

TEST_CASE("a damaged checkpoint is told, not resumed from") {
  const test::TempDir folder;
  Checkpoints checkpoints(folder.path(), 1);
  const auto saved = checkpoints.save({.step = 1}, {{"w", at::full({300}, 1.0)}},
                                      [](const std::filesystem::path&) {});
  {
    std::fstream file(saved / "state.safetensors", std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(-40, std::ios::end);
    file.put('\x7f');
  }
  CHECK_THROWS_AS(Checkpoints::read_state_tensors(saved), Error);
}
