#include <filesystem>

#include "tests/support/catch.h"
#include "tests/support/run_program.h"
#include "tests/support/temp_dir.h"
#include "tests/train/judged_set.h"

namespace ldm {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;
using test::ProgramResult;
using test::TempDir;

ProgramResult lpips(std::vector<std::string> args) {
  args.insert(args.begin(), LDM_BINARY_DIR "/bin/ldm-lpips");
  test::ProgramSetup setup;
  setup.variables = {{"OMP_NUM_THREADS", "1"}};
  return test::run_program(args, setup);
}

TEST_CASE("lpips: a network learned from scratch compares pictures and is scored") {
  const TempDir dir;
  test::write_two_afc_set(dir / "2afc", 6);
  test::write_jnd_set(dir / "jnd", 6);
  const std::string file = (dir / "learned.safetensors").string();
  const std::vector<std::string> train = {
      "train", "--mode", "scratch",  "--net", "squeeze",        "--data", (dir / "2afc").string(),
      "-o",    file,     "--epochs", "1",     "--epochs-decay", "1",      "--load-size",
      "0"};
  const ProgramResult trained = lpips(train);
  INFO(trained.err);
  REQUIRE(trained.exit_code == 0);
  CHECK(trained.out == file + "\n");
  CHECK_THAT(trained.err, Contains("epoch 2/2"));
  CHECK(lpips(train).exit_code == 5);

  const std::string ref = (dir / "2afc/ref/item100.png").string();
  const std::string near = (dir / "2afc/p0/item100.png").string();
  const std::string far = (dir / "2afc/p1/item100.png").string();
  const std::string map = (dir / "map.png").string();
  CHECK(std::stod(lpips({ref, ref, "--weights", file}).out) == 0);
  const ProgramResult nearer = lpips({ref, near, "--weights", file, "--spatial", map});
  const ProgramResult further = lpips({ref, far, "--weights", file});
  CHECK(std::stod(nearer.out) > 0);
  CHECK(std::stod(nearer.out) < std::stod(further.out));
  CHECK(load_image(map).width == 24);

  const ProgramResult two =
      lpips({"eval", "2afc", "--data", (dir / "2afc").string(), "--weights", file});
  CHECK(two.exit_code == 0);
  CHECK_THAT(two.out, Catch::Matchers::StartsWith("2afc "));
  CHECK(lpips({"eval", "jnd", "--data", (dir / "jnd").string(), "--weights", file}).exit_code == 0);
  CHECK(lpips({"eval", "jnd", "--data", (dir / "2afc").string(), "--weights", file}).exit_code ==
        3);
}

TEST_CASE("lpips: what is missing is said with the next step") {
  const TempDir dir;
  test::write_picture(dir / "a.png", test::noisy_picture(1, 40, 20));
  const std::string picture = (dir / "a.png").string();
  const ProgramResult no_lin = lpips({picture, picture});
  CHECK(no_lin.exit_code == 2);
  CHECK_THAT(no_lin.err, Contains("pip download lpips==0.1.4"));
  CHECK(lpips({picture}).exit_code == 2);
  CHECK(lpips({picture, picture, "--net", "resnet"}).exit_code == 2);
  CHECK(lpips({picture, picture, "--weights", "no.safetensors"}).exit_code == 4);
  CHECK(lpips({"eval", "mos", "--data", "x"}).exit_code == 2);
  CHECK(lpips({"train", "--mode", "scratch", "--data", "nowhere", "-o", (dir / "o.pth").string()})
            .exit_code == 2);
  const ProgramResult no_data = lpips(
      {"train", "--mode", "scratch", "--data", "nowhere", "-o", (dir / "o.safetensors").string()});
  CHECK(no_data.exit_code == 3);
  CHECK_THAT(no_data.err, Contains("make_2afc_dataset.py"));
  const ProgramResult no_backbone = lpips(
      {"train", "--mode", "lin", "--data", "nowhere", "-o", (dir / "o.safetensors").string()});
  CHECK(no_backbone.exit_code == 2);
  CHECK_THAT(no_backbone.err, Contains("alexnet-owt-7be5be79.pth"));
  CHECK(lpips({"--help"}).exit_code == 0);
}

}  // namespace
}  // namespace ldm
