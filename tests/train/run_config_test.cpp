#include "ldm/train/run_config.h"

#include "ldm/core/error.h"
#include "ldm/train/autoencoder_task.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

using namespace ldm;
using namespace ldm::train;

namespace {

std::string refused(const std::string& text) {
  const test::TempDir folder;
  try {
    const RunConfig config = read_run_config(folder.write("run.json", text).string(), {"loss"});
    read_section<AutoencoderLossConfig>(config, "loss");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::kInput);
    return error.message();
  }
  return {};
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a run's file is read over the defaults") {
  const test::TempDir folder;
  const auto path = folder.write("run.json", R"({"_about": "x",
    "run": {"output_dir": "out", "steps": 5}, "optimizer": {"learning_rate": 0.5},
    "start": {"zero_residuals": true}, "loss": {"l2_weight": 2}})");
  const RunConfig config = read_run_config(path.string(), {"loss"});
  CHECK(config.run.steps == 5);
  CHECK(config.run.batch_size == 1);
  CHECK(config.optimizer.learning_rate == 0.5);
  CHECK(config.optimizer.beta1 == 0.9);
  CHECK(config.start.zero_residuals);
  CHECK(read_section<AutoencoderLossConfig>(config, "loss").l2_weight == 2);
}

TEST_CASE("a run's file with an unknown key or a value out of range is refused") {
  const std::string good = R"("run": {"output_dir": "o", "steps": 5})";
  CHECK(refused("{" + good + "}").empty());
  CHECK(contains(refused("{" + good + R"(, "optimiser": {}})"), "optimiser"));
  CHECK(contains(refused("{" + good + R"(, "optimizer": {"lr": 1}})"), "unknown key lr"));
  CHECK(contains(refused("{" + good + R"(, "optimizer": {"beta1": 1}})"), "/optimizer: /beta1"));
  CHECK(contains(refused("{" + good + R"(, "start": {"zero_residual": true}})"), "zero_residual"));
  CHECK(contains(refused("{" + good + R"(, "start": {"posterior_log_variance": 21}})"),
                 "/start: /posterior_log_variance"));
  CHECK(contains(refused("{" + good + R"(, "loss": {"l1_weight": 0}})"), "/loss"));
  CHECK(contains(refused("{" + good + R"(, "loss": {"l1_weight": "much"}})"), "/l1_weight"));
  CHECK(contains(refused(R"({"run": {"steps": 5}})"), "/output_dir"));
  CHECK(contains(refused(R"({"run": {"output_dir": "o", "steps": 0}})"), "/steps"));
  CHECK(contains(refused(R"({"run": {"output_dir": "o", "steps": 2, "mixed_precision": "f8"}})"),
                 "/mixed_precision"));
  CHECK(contains(refused(R"({"run": 3})"), "no object"));
  CHECK(contains(refused("[1]"), "object"));
  CHECK(contains(refused("{"), "JSON"));
}

TEST_CASE("differences of configurations are listed, how often to log is none") {
  const nlohmann::json then = {{"run", {{"seed", 0}, {"log_every", 1}}}, {"loss", {{"w", 1}}}};
  const nlohmann::json now = {{"run", {{"seed", 1}, {"log_every", 9}}}, {"data", {{"size", 2}}}};
  const auto differences = config_differences(then, now);
  REQUIRE(differences.size() == 3);
  CHECK(contains(differences[0], "/loss"));
  CHECK(differences[1] == "/run/seed: 0, now 1");
  CHECK(contains(differences[2], "/data"));
  CHECK(config_differences(then, then).empty());
  CHECK(config_differences({{"_about", "one"}}, {{"_about", "two"}, {"_by", "me"}}).empty());
}
