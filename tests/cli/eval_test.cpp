#include "ldm/io/json.h"
#include "tests/cli/ldm_gen.h"
#include "tests/support/catch.h"
#include "tests/train/plain_pictures.h"

namespace ldm {
namespace {

namespace fs = std::filesystem;
using test::plain_picture;
using test::png_of;
using test::ProgramResult;
using test::TempDir;

ProgramResult eval(std::vector<std::string> args) {
  args.insert(args.begin(), LDM_BINARY_DIR "/bin/ldm-eval");
  return test::run_program(args);
}

/// Four plain pictures with attributes, as train and heldout, and the prompts of two of them.
void write_data(const TempDir& dir) {
  std::string lines;
  for (int i = 0; i < 4; ++i) {
    const std::string name = std::to_string(i) + ".png";
    const bool red = i % 2 == 0;
    const std::string png = png_of(plain_picture(16, 16, red ? 220 : 0, 0, red ? 0 : 220));
    for (const char* split : {"train/", "heldout/"}) dir.write(split + name, png);
    dir.write("made/000" + name, png);
    lines += nlohmann::json{{"file_name", name},
                            {"text", "a thing"},
                            {"object", i < 2 ? "cat" : "dog"},
                            {"background", red ? "red" : "blue"}}
                 .dump() +
             "\n";
  }
  dir.write("train/metadata.jsonl", lines);
  dir.write("heldout/metadata.jsonl", lines);
  dir.write("prompts.jsonl",
            "{\"prompt\": \"a cat\", \"object\": \"cat\", \"background\": \"blue\"}\n"
            "{\"prompt\": \"a cat\", \"object\": \"cat\", \"background\": \"red\"}\n");
}

std::string path(const TempDir& dir, const char* name) { return (dir / name).string(); }

}  // namespace

TEST_CASE("eval: a classifier is trained, and judges pictures by their prompts") {
  const TempDir dir;
  write_data(dir);
  const std::string file = path(dir, "c.safetensors");
  const std::vector<std::string> learn = {
      "train-classifier", "--data", dir.path().string(), "-o", file, "--steps", "1", "--json"};
  const ProgramResult trained = eval(learn);
  INFO(trained.err);
  REQUIRE(trained.exit_code == 0);
  const auto events = test::events(trained.out);
  CHECK(events.back().at("event") == "classifier");
  CHECK(events.back().at("heldout").at("pictures") == 4);
  CHECK(events.back().at("heldout").at("border_background") == 1.0);
  CHECK(fs::exists(file));
  CHECK(eval(learn).exit_code == 5);

  const auto judge = [&](const char* images) {
    return eval({"prompts", "--images", path(dir, images), "--prompts", path(dir, "prompts.jsonl"),
                 "--classifier", file, "--json"});
  };
  const ProgramResult judged = judge("made");
  INFO(judged.err);
  REQUIRE(judged.exit_code == 0);
  const auto scores = test::events(judged.out).at(0);
  CHECK(scores.at("event") == "prompts");
  CHECK(scores.at("scores").at("pictures") == 2);
  // Picture 0000.png is red and should be blue, 0001.png the other way round.
  CHECK(scores.at("scores").at("border_background") == 0.0);
  CHECK(scores.at("misses").is_array());
  CHECK_THAT(judged.err, !Contains("of 2"));
  const ProgramResult wrong = judge("train");
  CHECK(wrong.exit_code == 3);
  CHECK_THAT(wrong.err, Contains("4 pictures for 2 prompts"));
}

TEST_CASE("eval: what cannot work is refused") {
  const TempDir dir;
  write_data(dir);
  CHECK(eval({}).exit_code == 2);
  CHECK(eval({"prompts"}).exit_code == 2);
  const std::string prompts = path(dir, "prompts.jsonl");
  const std::string other = (test::test_file("golden/vq.safetensors")).string();
  const ProgramResult neither = eval({"prompts", "--prompts", prompts, "--classifier", other});
  CHECK(neither.exit_code == 2);
  CHECK_THAT(neither.err, Contains("--images or --model"));
  const ProgramResult foreign =
      eval({"prompts", "--prompts", prompts, "--classifier", other, "--images", path(dir, "made")});
  CHECK(foreign.exit_code == 4);
  CHECK_THAT(foreign.err, Contains("no attribute classifier") && Contains("train-classifier"));
  const ProgramResult empty = eval({"train-classifier", "--data", path(dir, "made"), "-o",
                                    path(dir, "c.safetensors"), "--steps", "1"});
  CHECK(empty.exit_code == 3);
  CHECK_THAT(empty.err, Contains("no such data set"));
  CHECK(eval({"--help"}).out.find("reconstruction") != std::string::npos);
}

TEST_CASE("eval: reconstruction tells how much of pictures is kept") {
  const TempDir dir;
  write_data(dir);
  const std::string model = (fs::path(LDM_SOURCE_DIR) / "weights" / "default").string();
  const ProgramResult result = eval(
      {"reconstruction", "--vae", model, "--data", path(dir, "made"), "--limit", "2", "--json"});
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  const auto event = test::events(result.out).at(0);
  CHECK(event.at("pictures") == 2);
  CHECK(event.at("psnr") > 10.0);
  CHECK(event.at("ssim") <= 1.0);
  CHECK_FALSE(event.contains("lpips"));
  dir.write("odd/a.png", png_of(plain_picture(17, 16, 1)));
  const ProgramResult odd = eval({"reconstruction", "--vae", model, "--data", path(dir, "odd")});
  CHECK(odd.exit_code == 3);
  CHECK_THAT(odd.err, Contains("17x16 pixels"));
  const ProgramResult half = eval({"reconstruction", "--vae", model, "--data", path(dir, "made"),
                                   "--lpips-lin", path(dir, "none.pth")});
  CHECK(half.exit_code != 0);
}

}  // namespace ldm
