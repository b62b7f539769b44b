#include "tests/cli/ldm_gen.h"
#include "tests/support/catch.h"

namespace ldm::test {
namespace {

namespace fs = std::filesystem;

struct Fault {
  std::vector<std::string> args;
  int exit_code;
  std::string word;  ///< the error's class on stderr
  std::string part;  ///< of stderr
};

/// One refused command: code, one line and perhaps a hint, nothing on stdout.
void check_refused(const ProgramResult& result, const Fault& fault) {
  INFO(result.err);
  CHECK(result.exit_code == fault.exit_code);
  CHECK(result.out.empty());
  const std::vector<std::string> text = lines(result.err);
  std::vector<std::string> errors;
  for (const std::string& line : text) {
    if (line.find("ldm-gen: ") == 0) errors.push_back(line);
    CHECK(line.find('\x1b') == std::string::npos);
  }
  REQUIRE(errors.size() == 1);
  CHECK(errors[0].find("ldm-gen: " + fault.word + ": ") == 0);
  CHECK(result.err.find(fault.part) != std::string::npos);
  CHECK((text.back() == errors[0] || text.back().find("hint: ") == 0));
}

std::vector<std::string> with_prompt(std::vector<std::string> args) {
  args.insert(args.begin(), {"--prompt", "a red apple", "--seed", "1", "-o", "a.png"});
  return args;
}

TEST_CASE("bad options are usage errors (2) and write nothing") {
  const TempDir dir;
  const std::vector<Fault> faults = {
      {{}, 2, "usage", "--prompt"},
      {{"--stpes", "3"}, 2, "usage", "did you mean --steps?"},
      {{"a red apple"}, 2, "usage", "--prompt"},
      {{"--prompt"}, 2, "usage", "--prompt needs a value"},
      {with_prompt({"--sampler", "eulr"}), 2, "usage", "did you mean euler?"},
      {with_prompt({"-W", "517", "-H", "512"}), 2, "usage", "512 or 520"},
      {with_prompt({"-W", "0"}), 2, "usage", "--width: 0"},
      {with_prompt({"-W", "-64"}), 2, "usage", "--width: -64"},
      {with_prompt({"-W", "1048576", "-H", "1048576"}), 2, "usage", "at most 67108864 pixels"},
      {with_prompt({"-W", "99999999999999999999"}), 2, "usage", "--width"},
      {with_prompt({"--steps", "0"}), 2, "usage", "--steps: 0"},
      {with_prompt({"--steps", "1e3"}), 2, "usage", "not a whole number"},
      {with_prompt({"-g", "nan"}), 2, "usage", "not a finite number"},
      {with_prompt({"-g", "1e308"}), 2, "usage", "--guidance-scale"},
      {with_prompt({"--strength", "0.5"}), 2, "usage", "--init-image"},
      {with_prompt({"--device", "gpu"}), 2, "usage", "unknown device"},
      {with_prompt({"--dtype", "int8"}), 2, "usage", "one of: auto, fp32, tf32, bf16, fp16"},
      {with_prompt({"--dtype", "tf32", "--device", "cpu"}), 2, "usage", "only GPUs compute in it"},
      {with_prompt({"--eta", "0.5", "--sampler", "euler"}), 2, "usage", "--eta"},
      {{"-p", "x", "--seed", "-1"}, 2, "usage", "18446744073709551615"},
      {{"-p", "x", "--seed", "18446744073709551616"}, 2, "usage", "18446744073709551615"},
      {{"-p", "x", "-o", "a.jpg"}, 2, "usage", "use a.png"},
      {with_prompt({"--save-latents", "a.png"}), 2, "usage", "both a.png"},
      {{"samplers", "--steps", "3"}, 2, "usage", "--steps"},
  };
  for (const Fault& fault : faults) check_refused(ldm_gen_in(dir, fault.args), fault);
  CHECK(files_below(dir.path()).empty());
}

TEST_CASE("bad prompts, images and settings files are input errors (3)") {
  const TempDir dir;
  dir.write("text.png", "this is no picture");
  dir.write("gif.png", "GIF89a......................");
  dir.write("empty.png", "");
  dir.write("c.json", "{\"stpes\": 3}");
  dir.write("broken.json", "{\"steps\": 3");
  dir.write("bad.safetensors", "0123456789");
  const auto before = files_below(dir.path());
  const std::vector<Fault> faults = {
      {{"-p", "abcde\xff"}, 3, "input", "byte 5: invalid UTF-8"},
      {{"-p", "x", "-n", "\xc0\xaf"}, 3, "input", "negative prompt: byte 0"},
      {{"-p", std::string(65537, 'a')}, 3, "input", "longer than 65536 bytes"},
      {with_prompt({"-i", "text.png"}), 3, "input", "text.png"},
      {with_prompt({"-i", "gif.png"}), 3, "input", "PNG and JPEG"},
      {with_prompt({"-i", "empty.png"}), 3, "input", "empty.png"},
      {with_prompt({"-i", "none.png"}), 3, "input", "none.png"},
      {with_prompt({"--init-latents", "bad.safetensors"}), 3, "input", "bad.safetensors"},
      {with_prompt({"--config", "c.json"}), 3, "input", "did you mean steps?"},
      {with_prompt({"--config", "broken.json"}), 3, "input", "broken.json"},
      {with_prompt({"--config", "none.json"}), 3, "input", "none.json"},
  };
  for (const Fault& fault : faults) check_refused(ldm_gen_in(dir, fault.args), fault);
  ProgramSetup nul;
  nul.input = std::string("a\0b", 3);
  check_refused(ldm_gen({"--prompt", "-"}, nul), {{}, 3, "input", "byte 1: NUL"});
  CHECK(files_below(dir.path()) == before);
}

TEST_CASE("a prompt too long is an error only on request") {
  const TempDir dir;
  std::string words;
  for (int i = 0; i < 90; ++i) words += "apple ";
  check_refused(ldm_gen_in(dir, {"-p", words, "--long-prompt", "error", "-s", "1"}),
                {{}, 3, "input", "--long-prompt"});
  const ProgramResult result = ldm_gen_in(dir, {"-p", words, "-s", "1", "--dry-run", "--quiet"});
  CHECK(result.exit_code == 0);
  CHECK(result.err.find("warning: ") == 0);
  CHECK(result.err.find("cut off: \"") != std::string::npos);
}

TEST_CASE("model faults (4) are found before anything is written") {
  const TempDir dir;
  const fs::path model = linked_model(dir);
  const fs::path unet = model / "unet/diffusion_pytorch_model.safetensors";
  const auto refused = [&](const std::string& part) {
    check_refused(ldm_gen_in(dir, with_prompt({"--model", "model"})), {{}, 4, "model", part});
    CHECK(!fs::exists(dir / "a.png"));
  };
  check_refused(ldm_gen_in(dir, with_prompt({"-m", "none"})), {{}, 4, "model", "none"});
  check_refused(ldm_gen_in(dir, with_prompt({"-m", "some/name"})), {{}, 4, "model", "some/name"});
  check_refused(ldm_gen_in(dir, {"inspect", "none"}), {{}, 4, "model", "none"});
  check_refused(ldm_gen_in(dir, {"tokens", "-m", "none", "-p", "x"}), {{}, 4, "model", "none"});

  const std::string weights = slurp(unet);
  replace_file(unet, weights.substr(0, weights.size() / 2), dir);
  refused("E_ST_TRUNC");
  replace_file(unet, "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", dir);
  refused("git-lfs");
  replace_file(unet, "", dir);
  refused("diffusion_pytorch_model.safetensors");
  fs::remove(unet);
  refused("unet");
  replace_file(model / "unet/config.json", "{\"in_channels\": ", dir);
  refused("unet/config.json");
  replace_file(model / "generation_config.json", "{\"num_inference_steps\": 0}", dir);
  replace_file(model / "model_index.json", "[]", dir);
  refused("model_index.json");
}

TEST_CASE("weights that do not match their config are a model fault (4)") {
  const TempDir dir;
  const fs::path model = linked_model(dir);
  const std::string config = slurp(model / "vae/config.json");
  nlohmann::json json = nlohmann::json::parse(config);
  json["layers_per_block"] = json.value("layers_per_block", 1) + 1;
  replace_file(model / "vae/config.json", json.dump(), dir);
  check_refused(ldm_gen_in(dir, with_prompt({"--model", "model", "--dry-run"})),
                {{}, 4, "model", "missing"});
}

TEST_CASE("outputs that cannot be written are found first (5)") {
  const TempDir dir;
  dir.write("file", "x");
  dir.write("there.png", "precious");
  fs::create_directory(dir / "folder.png");
  const auto before = files_below(dir.path());
  const std::vector<Fault> faults = {
      {{"-p", "x", "-s", "1", "-o", "none/a.png"}, 5, "output", "none"},
      {{"-p", "x", "-s", "1", "-o", "none/"}, 5, "output", "none"},
      {{"-p", "x", "-s", "1", "-o", "file/a.png"}, 5, "output", "file"},
      {{"-p", "x", "-s", "1", "-o", "there.png"}, 5, "output", "--overwrite"},
      {{"-p", "x", "-s", "1", "--save-latents", "none/l.safetensors"}, 5, "output", "none"},
      {{"-p", "x", "-s", "1", "--save-latents", "there.png"}, 5, "output", "--overwrite"},
      {{"-p", "x", "-s", "1", "-o", "/proc/a.png"}, 5, "output", "/proc"},
  };
  for (const Fault& fault : faults) check_refused(ldm_gen_in(dir, fault.args), fault);
  CHECK(slurp(dir / "there.png") == "precious");
  CHECK(files_below(dir.path()) == before);
}

TEST_CASE("with --json an error is an event and done follows") {
  const ProgramResult result = ldm_gen({"--json", "--steps", "0"});
  CHECK(result.exit_code == 2);
  CHECK(result.err.find("ldm-gen: usage: ") == 0);
  const auto list = events(result.out);
  REQUIRE(list.size() == 2);
  CHECK(list[0]["event"] == "error");
  CHECK(list[0]["code"] == "usage");
  CHECK(list[0]["schema"] == 1);
  CHECK(list[1]["event"] == "done");
  CHECK(list[1]["exit_code"] == 2);
  CHECK(list[1]["images"] == 0);
}

}  // namespace
}  // namespace ldm::test
