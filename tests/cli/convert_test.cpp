#include <filesystem>
#include <map>

#include "ldm/io/checksums.h"
#include "ldm/io/json.h"
#include "ldm/io/weights_index.h"
#include "tests/cli/ldm_gen.h"
#include "tests/support/catch.h"

namespace ldm {
namespace {

namespace fs = std::filesystem;
using test::ProgramResult;
using test::TempDir;

fs::path tiny(const char* name) { return test::test_file(std::string("golden/runs/") + name); }

ProgramResult convert(std::vector<std::string> args) {
  args.insert(args.begin(), LDM_BINARY_DIR "/bin/ldm-convert");
  return test::run_program(args);
}

/// Every tensor of a folder's or file's safetensors: contents by "folder/name", prefixes that files
/// may have or not left out.
std::map<std::string, std::string> tensors_below(const fs::path& folder) {
  std::map<std::string, std::string> tensors;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.path().extension() != ".safetensors") continue;
    const WeightFiles file = WeightFiles::open_file(entry.path());
    for (const std::string& name : file.names()) {
      const TensorInfo& info = *file.find(name);
      std::string bytes(info.byte_size(), '\0');
      file.read(name, std::as_writable_bytes(std::span(bytes.data(), bytes.size())));
      std::string key = name;
      if (key.starts_with("text_model.")) key = key.substr(11);
      tensors[entry.path().parent_path().filename().string() + "/" + key] = describe(info) + bytes;
    }
  }
  return tensors;
}

TEST_CASE("convert: folder → file → folder gives the same tensors") {
  for (const char* name : {"sd1", "sd2"}) {
    INFO(name);
    const TempDir dir;
    const ProgramResult single = convert({tiny(name).string(), (dir / "one.safetensors").string()});
    INFO(single.err);
    REQUIRE(single.exit_code == 0);
    CHECK(single.out == (dir / "one.safetensors").string() + "\n");
    CHECK_THAT(single.err, Contains("dropped tokenizer") && Contains("norm_num_groups"));
    fs::copy(tiny(name) / "tokenizer", dir / "tokenizer", fs::copy_options::recursive);
    const ProgramResult folder =
        convert({(dir / "one.safetensors").string(), (dir / "back").string()});
    INFO(folder.err);
    REQUIRE(folder.exit_code == 0);
    const auto had = tensors_below(tiny(name));
    CHECK(had.size() > 100);
    CHECK(tensors_below(dir / "back") == had);
    CHECK(fs::exists(dir / "back" / "model_index.json"));
    CHECK(test::slurp(dir / "back" / "tokenizer" / "merges.txt") ==
          test::slurp(tiny(name) / "tokenizer" / "merges.txt"));
    CHECK(read_json_file(dir / "back" / "scheduler" / "scheduler_config.json")["_class_name"]
              .is_string());
    CHECK(check_integrity(dir / "one.safetensors").state == IntegrityState::kVerified);
  }
}

TEST_CASE("convert: another dtype and shards") {
  const TempDir dir;
  const ProgramResult result = convert({tiny("sd1").string(), (dir / "out").string(), "--dtype",
                                        "bf16", "--max-shard-size", "40KB", "--json"});
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  const auto events = test::events(result.out);
  REQUIRE(events.size() == 1);
  CHECK(events[0]["event"] == "converted");
  CHECK(events[0]["family"].is_string());
  const WeightFiles unet = WeightFiles::open(dir / "out" / "unet", "diffusion_pytorch_model");
  CHECK(unet.files().size() > 1);
  CHECK(unet.find("conv_in.weight")->dtype == DType::BF16);
  CHECK(fs::exists(dir / "out" / "unet" / "diffusion_pytorch_model.safetensors.index.json"));
  const ProgramResult again = convert({(dir / "out").string(), (dir / "out.safetensors").string()});
  CHECK(again.exit_code == 0);
}

TEST_CASE("convert: nothing is overwritten unless asked") {
  const TempDir dir;
  dir.write("one.safetensors", "mine");
  const std::string out = (dir / "one.safetensors").string();
  const ProgramResult refused = convert({tiny("sd1").string(), out});
  CHECK(refused.exit_code == 5);
  CHECK(test::slurp(out) == "mine");
  CHECK(convert({tiny("sd1").string(), out, "--overwrite", "--quiet"}).exit_code == 0);
  CHECK(test::slurp(out).size() > 1000);
  fs::create_directories(dir / "full");
  dir.write("full/x", "");
  const ProgramResult full = convert({tiny("sd1").string(), (dir / "full").string()});
  CHECK(full.exit_code == 5);
  CHECK_THAT(full.err, Contains("not empty"));
}

TEST_CASE("convert: faults have their exit codes and one line") {
  const TempDir dir;
  const std::string out = (dir / "out").string();
  const auto expect = [&](std::vector<std::string> args, int code, const std::string& text) {
    const ProgramResult result = convert(std::move(args));
    INFO(result.err);
    CHECK(result.exit_code == code);
    CHECK_THAT(result.err, Contains("ldm-convert: ") && Contains(text));
    CHECK(result.out.empty());
  };
  expect({}, 2, "expected IN and OUT");
  expect({"a", "b", "--nonsense"}, 2, "--nonsense");
  expect({tiny("sd1").string(), out, "--dtype", "fp8"}, 2, "fp8");
  expect({tiny("sd1").string(), out, "--max-shard-size", "lots"}, 2, "is no size");
  expect({tiny("sd1").string(), out, "--prediction-type", "v"}, 2, "v_prediction");
  expect({tiny("sd1").string(), out, "--ema", "--no-ema"}, 2, "exclude");
  expect({(dir / "none").string(), out}, 4, "no model at");
  expect({dir.write("x.safetensors", "version https://git-lfs.github.com/spec/v1\n").string(), out},
         4, "E_ST_LFS");
  CHECK(!fs::exists(out));
  const ProgramResult help = convert({"--help"});
  CHECK(help.exit_code == 0);
  CHECK_THAT(help.out, Contains("--max-shard-size"));
}

}  // namespace
}  // namespace ldm
