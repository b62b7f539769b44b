// What can go wrong around the output folder while pictures are made: exit codes, messages, and
// what the folder holds afterwards. tests/soak tries the same at every system call.
#include <signal.h>

#include <array>

#include "ldm/io/folder_lock.h"
#include "tests/cli/ldm_gen.h"
#include "tests/support/catch.h"

namespace ldm::test {
namespace {

namespace fs = std::filesystem;
using Names = std::vector<std::string>;

std::vector<std::string> batch(std::vector<std::string> more, const std::string& model = {}) {
  std::vector<std::string> args = {"-m",           model.empty() ? tiny_model().string() : model,
                                   "--output-dir", "out",
                                   "--steps",      "1",
                                   "-s",           "5",
                                   "--threads",    "1",
                                   "--batch-size", "1",
                                   "--quiet",      "--no-progress"};
  args.insert(args.end(), more.begin(), more.end());
  return args;
}

void write_prompts(const TempDir& dir, int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += "a cat number " + std::to_string(i) + "\n";
  dir.write("p.txt", text);
}

/// The pictures' bytes by name.
std::map<std::string, std::string> pictures(const fs::path& folder) {
  std::map<std::string, std::string> found;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".png") found[entry.path().filename()] = slurp(entry.path());
  }
  return found;
}

/// Runs the batch of p.txt undisturbed in a folder of its own.
std::map<std::string, std::string> unbroken(const TempDir& dir) {
  auto args = batch({"--prompts", "p.txt"});
  args[3] = "whole";
  REQUIRE(ldm_gen_in(dir, args).exit_code == 0);
  return pictures(dir / "whole");
}

/// `arguments` for a shell that does something to itself first.
ProgramResult with_shell(const TempDir& dir, const std::string& before, const Names& arguments,
                         const std::string& after = {}) {
  std::string line = before + " exec \"$0\" \"$@\" " + after;
  Names command = {"sh", "-c", line, LDM_BINARY_DIR "/bin/ldm-gen"};
  command.insert(command.end(), arguments.begin(), arguments.end());
  ProgramSetup setup;
  setup.folder = dir.path();
  return run_program(command, setup);
}

TEST_CASE("a folder that cannot be written to is found before weights are read (5)") {
  const TempDir dir;
  write_prompts(dir, 2);
  const fs::path model = linked_model(dir, tiny_model());
  replace_file(model / "unet/diffusion_pytorch_model.fp16.safetensors", "cut", dir);
  dir.write("file", "x");
  fs::create_symlink("nowhere", dir / "dangling");
  for (const char* folder : {"/proc/self", "no/such", "file", "file/in", "dangling"}) {
    auto args = batch({"--prompts", "p.txt"}, "model");
    args[3] = folder;
    const ProgramResult result = ldm_gen_in(dir, args);
    INFO(folder << ": " << result.err);
    CHECK(result.exit_code == 5);
    CHECK(result.err.find("ldm-gen: output: ") == 0);
    CHECK(result.err.find(folder) != std::string::npos);
  }
  CHECK(slurp(dir / "file") == "x");
}

TEST_CASE("a folder in use ends with 9 and the number of the process that has it") {
  const TempDir dir;
  write_prompts(dir, 1);
  const OutputFolder folder(dir / "out");
  {
    const FolderLock lock = FolderLock::alone(folder);
    for (const Names& how : {Names{}, Names{"--shared"}, Names{"--shard", "0/2"}}) {
      Names args = batch({"--prompts", "p.txt"});
      args.insert(args.end(), how.begin(), how.end());
      const ProgramResult result = ldm_gen_in(dir, args);
      INFO(result.err);
      CHECK(result.exit_code == 9);
      CHECK(result.err.find("process " + std::to_string(::getpid())) != std::string::npos);
      CHECK(pictures(dir / "out").empty());
    }
  }
  CHECK(ldm_gen_in(dir, batch({"--prompts", "p.txt"})).exit_code == 0);
}

TEST_CASE("a killed batch leaves whole pictures, and the next run the rest") {
  const TempDir dir;
  write_prompts(dir, 12);
  const auto whole = unbroken(dir);
  for (const int signal : {SIGKILL, SIGINT, SIGTERM}) {
    INFO(signal);
    fs::remove_all(dir / "out");
    ProgramSetup setup;
    setup.folder = dir.path();
    setup.signal = signal;
    setup.signal_at = "000002";
    const ProgramResult stopped = ldm_gen(batch({"--prompts", "p.txt"}), setup);
    CHECK(stopped.exit_code == 128 + signal);
    const auto some = pictures(dir / "out");
    CHECK(some.size() >= 3);
    CHECK(some.size() < whole.size());
    for (const auto& [name, bytes] : some) CHECK(bytes == whole.at(name));
    if (signal != SIGKILL) {
      CHECK(stopped.err.find(std::to_string(some.size()) + "/12 done") != std::string::npos);
      CHECK(files_below(dir / "out").size() == some.size() + 1);
    }
    const ProgramResult rest = ldm_gen_in(dir, batch({"--prompts", "p.txt"}));
    CHECK(rest.exit_code == 0);
    CHECK(lines(rest.out).size() == whole.size() - some.size());
    CHECK(pictures(dir / "out") == whole);
    CHECK(files_below(dir / "out").size() == whole.size() + 1);
  }
}

TEST_CASE("a second signal ends a run at once") {
  const TempDir dir;
  ProgramSetup setup;
  setup.folder = dir.path();
  setup.signal_at = "\"event\":\"step\"";
  setup.instead = [](int pid) {
    ::kill(pid, SIGINT);
    ::kill(pid, SIGTERM);
  };
  // Steps of a second: both signals come within one.
  const ProgramResult result = ldm_gen({"-p", "a cat", "-s", "1", "-W", "384", "-H", "384",
                                        "--threads", "1", "-o", "a.png", "--json"},
                                       setup);
  CHECK((result.exit_code == 130 || result.exit_code == 143));
  CHECK_FALSE(result.killed);
  CHECK(result.err.empty());
  CHECK(events(result.out).back()["event"] == "step");
  CHECK(files_below(dir.path()).empty());
}

TEST_CASE("a file that may not grow so large ends the batch with 5, whole pictures stay") {
  const TempDir dir;
  write_prompts(dir, 3);
  const auto whole = unbroken(dir);
  const ProgramResult result = with_shell(dir, "ulimit -f 4;", batch({"--prompts", "p.txt"}));
  INFO(result.err);
  CHECK(result.exit_code == 5);
  CHECK(result.err.find("larger than files may be here (needed ") != std::string::npos);
  CHECK(files_below(dir / "out") == Names{"journal.jsonl"});
  CHECK(ldm_gen_in(dir, batch({"--prompts", "p.txt"})).exit_code == 0);
  CHECK(pictures(dir / "out") == whole);
}

TEST_CASE("streams that are closed or full cost a batch no picture") {
  const TempDir dir;
  write_prompts(dir, 2);
  const std::array<const char*, 4> redirections = {">&-", ">/dev/full", "2>/dev/full",
                                                   "<&- >&- 2>&-"};
  for (const char* redirection : redirections) {
    INFO(redirection);
    fs::remove_all(dir / "out");
    const ProgramResult result = with_shell(dir, "", batch({"--prompts", "p.txt"}), redirection);
    CHECK(result.exit_code == 0);
    CHECK(pictures(dir / "out").size() == 2);
  }
  fs::remove_all(dir / "out");
  const ProgramResult events_lost =
      with_shell(dir, "", batch({"--prompts", "p.txt", "--json"}), ">/dev/full");
  CHECK(events_lost.exit_code == 1);
  CHECK(pictures(dir / "out").size() == 2);
  const ProgramResult no_jobs = with_shell(dir, "", batch({"--jobs", "-"}), "<&-");
  CHECK(no_jobs.exit_code == 3);
  CHECK(no_jobs.err.find("reading stdin") != std::string::npos);
}

TEST_CASE("links at the place of an output are neither followed nor replaced") {
  const TempDir dir;
  write_prompts(dir, 1);
  const fs::path secret = dir.write("secret", "precious");
  fs::create_directory(dir / "out");
  for (const fs::path& target : {secret, dir / "nowhere"}) {
    fs::create_symlink(target, dir / "out" / "000000-5.png");
    const ProgramResult result = ldm_gen_in(dir, batch({"--prompts", "p.txt"}));
    INFO(result.err);
    CHECK(result.exit_code == 5);
    CHECK(result.err.find("out/000000-5.png") != std::string::npos);
    fs::remove(dir / "out" / "000000-5.png");
  }
  fs::create_symlink(secret, dir / "a.png");
  const ProgramResult single = ldm_gen_in(
      dir, {"-m", tiny_model().string(), "-p", "x", "-s", "1", "--steps", "1", "-o", "a.png"});
  CHECK(single.exit_code == 5);
  for (const char* journal : {"journal.jsonl", ".ldm-lock"}) {
    fs::create_symlink(secret, dir / "out" / journal);
    CHECK(ldm_gen_in(dir, batch({"--prompts", "p.txt"})).exit_code == 5);
    fs::remove(dir / "out" / journal);
  }
  CHECK(slurp(secret) == "precious");
  CHECK_FALSE(fs::exists(dir / "nowhere"));
}

TEST_CASE("a folder that is swapped in mid-run gets nothing") {
  const TempDir dir;
  write_prompts(dir, 6);
  const auto whole = unbroken(dir);
  fs::create_directory(dir / "elsewhere");
  ProgramSetup setup;
  setup.folder = dir.path();
  setup.signal_at = "000000";
  setup.instead = [&](int) {
    fs::rename(dir / "out", dir / "moved");
    fs::create_directory_symlink(dir / "elsewhere", dir / "out");
  };
  const ProgramResult result = ldm_gen(batch({"--prompts", "p.txt"}), setup);
  INFO(result.err);
  CHECK(result.exit_code == 0);
  CHECK(pictures(dir / "moved") == whole);
  CHECK(files_below(dir / "elsewhere").empty());
}

TEST_CASE("weights that somebody vouches for are checked before a picture is made (4)") {
  const TempDir dir;
  const fs::path model = linked_model(dir, tiny_model());
  const char* file = "unet/diffusion_pytorch_model.fp16.safetensors";
  std::string bytes = slurp(model / file);
  bytes[bytes.size() - 1000] = static_cast<char>(bytes[bytes.size() - 1000] ^ 1);
  replace_file(model / file, bytes, dir);
  dir.write(std::string("model/") + file + ".sha256",
            "0000000000000000000000000000000000000000000000000000000000000000\n");
  const ProgramResult result =
      ldm_gen_in(dir, {"-m", "model", "-p", "x", "-s", "1", "--steps", "1", "-o", "a.png"});
  INFO(result.err);
  CHECK(result.exit_code == 4);
  CHECK(result.err.find("E_SUM_MISMATCH") != std::string::npos);
  CHECK_FALSE(fs::exists(dir / "a.png"));
}

TEST_CASE("configurations that no model has are refused (4)") {
  for (const std::string& config : {std::string(5000, '['), std::string("{\"in_channels\": 1e999}"),
                                    std::string("{\"sample_size\": 99999999999999999999}"),
                                    std::string("{\"block_out_channels\": [1000000000]}"),
                                    std::string("{\"in_channels\": 4, \"in_channels\": 4}"),
                                    std::string("{\"_class_name\": \"X\"}")}) {
    const TempDir dir;
    const fs::path model = linked_model(dir, tiny_model());
    replace_file(model / "unet/config.json", config, dir);
    const ProgramResult result = ldm_gen_in(dir, {"-m", "model", "-p", "x", "-s", "1", "-q"});
    INFO(config.substr(0, 60) << ": " << result.err);
    CHECK(result.exit_code == 4);
    CHECK(lines(result.err).size() <= 2);
  }
}

}  // namespace
}  // namespace ldm::test
