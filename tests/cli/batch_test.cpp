#include <algorithm>
#include <filesystem>
#include <thread>

#include "tests/cli/ldm_gen.h"
#include "tests/support/catch.h"

// Batches as users run them: small pictures of the default model in two steps.

namespace ldm::test {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> batch(std::vector<std::string> more) {
  std::vector<std::string> args = {"--output-dir", "out", "--steps", "2", "-W",           "64",
                                   "-H",           "64",  "--seed",  "5", "--no-progress"};
  args.insert(args.end(), more.begin(), more.end());
  return args;
}

std::string bytes_of(const fs::path& path) { return slurp(path); }

TEST_CASE("a file of prompts becomes a folder of pictures, once") {
  const TempDir dir;
  dir.write("p.txt", "a cat\n\n# no\na dog\r\na fish\n");
  const auto args = batch({"--prompts", "p.txt"});
  const ProgramResult first = ldm_gen_in(dir, args);
  REQUIRE(first.exit_code == 0);
  CHECK(lines(first.out) ==
        std::vector<std::string>{"out/000000-5.png", "out/000001-6.png", "out/000002-7.png"});
  CHECK(files_below(dir / "out") ==
        std::vector<std::string>{"000000-5.png", "000001-6.png", "000002-7.png", "journal.jsonl"});
  const std::string dog = bytes_of(dir / "out" / "000001-6.png");

  const ProgramResult again = ldm_gen_in(dir, args);
  CHECK(again.exit_code == 0);
  CHECK(again.out.empty());

  fs::remove(dir / "out" / "000001-6.png");
  dir.write("out/.ldm-1-0.tmp", "left by a killed run");
  const ProgramResult resumed = ldm_gen_in(dir, args);
  CHECK(resumed.exit_code == 0);
  CHECK(lines(resumed.out) == std::vector<std::string>{"out/000001-6.png"});
  CHECK(bytes_of(dir / "out" / "000001-6.png") == dog);
  CHECK_FALSE(fs::exists(dir / "out" / ".ldm-1-0.tmp"));

  const ProgramResult single =
      ldm_gen_in(dir, {"-p", "a dog", "--seed", "6", "--steps", "2", "-W", "64", "-H", "64", "-o",
                       "single.png", "--no-progress"});
  REQUIRE(single.exit_code == 0);
  CHECK(bytes_of(dir / "single.png") == dog);
}

TEST_CASE("a batch gives the same files whatever its batch size") {
  const TempDir dir;
  dir.write("j.jsonl",
            "{\"prompt\": \"a cat\", \"num_images\": 2, \"id\": \"cat\"}\n"
            "{\"prompt\": \"a dog\", \"steps\": 3, \"id\": \"dog\"}\n"
            "{\"prompt\": \"a fish\", \"seed\": 9, \"id\": \"fish\", \"output\": \"fish.png\"}\n");
  const std::vector<std::string> base = {"--jobs", "j.jsonl", "--name-template", "{id}-{index}"};
  auto args = batch(base);
  REQUIRE(ldm_gen_in(dir, args).exit_code == 0);
  args[1] = "four";
  args.insert(args.end(), {"--batch-size", "4"});
  REQUIRE(ldm_gen_in(dir, args).exit_code == 0);
  for (const char* name : {"cat-0.png", "cat-1.png", "dog-2.png", "fish.png"}) {
    INFO(name);
    REQUIRE(fs::exists(dir / "out" / name));
    CHECK(bytes_of(dir / "out" / name) == bytes_of(dir / "four" / name));
  }
}

TEST_CASE("wrong jobs are all listed before anything is made") {
  const TempDir dir;
  dir.write("j.jsonl",
            "{\"prompt\": \"a\"}\n{\"promt\": \"b\"}\n{\"prompt\": \"c\", \"steps\": 0}\n"
            "{\"prompt\": \"d\", \"init_image\": \"none.png\"}\n{\"prompt\": \"caf\xE9\"}\n");
  const ProgramResult refused = ldm_gen_in(dir, batch({"--jobs", "j.jsonl"}));
  CHECK(refused.exit_code == 3);
  CHECK(refused.err.find("j.jsonl:2: /promt: unknown key") != std::string::npos);
  CHECK(refused.err.find("j.jsonl:3: --steps: 0 is not within") != std::string::npos);
  CHECK(refused.err.find("j.jsonl:4: ") != std::string::npos);
  CHECK(refused.err.find("none.png") != std::string::npos);
  CHECK(refused.err.find("j.jsonl:5: byte 15: ") != std::string::npos);
  CHECK(refused.err.find("4 of 5 jobs cannot be used") != std::string::npos);
  CHECK(files_below(dir / "out").empty());

  const ProgramResult kept = ldm_gen_in(dir, batch({"--jobs", "j.jsonl", "--keep-going"}));
  CHECK(kept.exit_code == 8);
  CHECK(lines(kept.out) == std::vector<std::string>{"out/000000-5.png"});
  const ProgramResult status = ldm_gen_in(dir, {"status", "out", "--json"});
  REQUIRE(status.exit_code == 0);
  CHECK(events(status.out)[0]["made"] == 1);
  CHECK(events(status.out)[0]["failed"] == 4);
}

TEST_CASE("a folder that holds other pictures is left alone") {
  const TempDir dir;
  dir.write("p.txt", "a cat\na dog\n");
  REQUIRE(ldm_gen_in(dir, batch({"--prompts", "p.txt"})).exit_code == 0);
  const std::string cat = bytes_of(dir / "out" / "000000-5.png");
  dir.write("p.txt", "a bird\na dog\n");
  const ProgramResult refused = ldm_gen_in(dir, batch({"--prompts", "p.txt"}));
  CHECK(refused.exit_code == 5);
  CHECK(refused.err.find("out/000000-5.png: exists and holds something else") != std::string::npos);
  CHECK(bytes_of(dir / "out" / "000000-5.png") == cat);
  const ProgramResult replaced = ldm_gen_in(dir, batch({"--prompts", "p.txt", "--overwrite"}));
  CHECK(replaced.exit_code == 0);
  CHECK(lines(replaced.out) == std::vector<std::string>{"out/000000-5.png"});
  CHECK(bytes_of(dir / "out" / "000000-5.png") != cat);
}

TEST_CASE("pictures without metadata are known by the journal") {
  const TempDir dir;
  dir.write("p.txt", "a cat\na dog\n");
  const auto args = batch({"--prompts", "p.txt", "--metadata", "none"});
  REQUIRE(ldm_gen_in(dir, args).exit_code == 0);
  CHECK(bytes_of(dir / "out" / "000000-5.png").find("cat") == std::string::npos);
  CHECK(ldm_gen_in(dir, args).out.empty());
  // As a run leaves it that is killed between a picture and its entry.
  const std::string cat = bytes_of(dir / "out" / "000000-5.png");
  fs::remove(dir / "out" / "journal.jsonl");
  CHECK(ldm_gen_in(dir, args).exit_code == 0);
  CHECK(bytes_of(dir / "out" / "000000-5.png") == cat);
  fs::remove(dir / "out" / "journal.jsonl");
  CHECK(ldm_gen_in(dir, batch({"--prompts", "p.txt"})).exit_code == 5);
  dir.write("out/000000-5.png", bytes_of(dir / "out" / "000001-6.png"));
  CHECK(ldm_gen_in(dir, args).exit_code == 5);
  dir.write("out/000000-5.png", cat);
  REQUIRE(ldm_gen_in(dir, args).exit_code == 0);
  fs::resize_file(dir / "out" / "000000-5.png", 100);
  CHECK(ldm_gen_in(dir, args).exit_code == 5);
}

TEST_CASE("shards make every picture once, and merge") {
  const TempDir dir;
  dir.write("p.txt", "a\nb\nc\nd\ne\n");
  for (const char* shard : {"0/2", "1/2"}) {
    CHECK(ldm_gen_in(dir, batch({"--prompts", "p.txt", "--shard", shard})).exit_code == 0);
  }
  CHECK(files_below(dir / "out") ==
        std::vector<std::string>{"000000-5.png", "000001-6.png", "000002-7.png", "000003-8.png",
                                 "000004-9.png", "journal-0-of-2.jsonl", "journal-1-of-2.jsonl"});
  const ProgramResult merged = ldm_gen_in(dir, {"merge", "out"});
  CHECK(merged.exit_code == 0);
  CHECK(merged.out == "5/5 made\n");
  CHECK_FALSE(fs::exists(dir / "out" / "journal-0-of-2.jsonl"));
  CHECK(ldm_gen_in(dir, batch({"--prompts", "p.txt"})).out.empty());
  dir.write("out/000002-7.png", "damaged");
  const ProgramResult checked = ldm_gen_in(dir, {"merge", "out"});
  CHECK(checked.exit_code == 8);
  CHECK(checked.out.find("changed since: 000002-7.png") != std::string::npos);
}

TEST_CASE("processes share a folder without doing anything twice") {
  const TempDir dir;
  dir.write("p.txt", "a\nb\nc\nd\ne\nf\n");
  std::vector<ProgramResult> results(3);
  std::vector<std::thread> threads;
  for (ProgramResult& result : results) {
    threads.emplace_back([&] {
      result = ldm_gen_in(dir, batch({"--prompts", "p.txt", "--shared", "--threads", "1"}));
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::vector<std::string> made;
  for (const ProgramResult& result : results) {
    INFO(result.err);
    CHECK(result.exit_code == 0);
    for (const std::string& line : lines(result.out)) made.push_back(line);
  }
  std::sort(made.begin(), made.end());
  CHECK(made.size() == 6);
  CHECK(std::unique(made.begin(), made.end()) == made.end());
  CHECK(files_below(dir / "out").size() == 7);
}

TEST_CASE("jobs come from a pipe while others are made") {
  const TempDir dir;
  ProgramSetup setup;
  setup.folder = dir.path();
  setup.input = "{\"prompt\": \"a cat\"}\n{\"prompt\": \"a dog\", \"seed\": 1}\n";
  const ProgramResult result = ldm_gen(batch({"--jobs", "-"}), setup);
  CHECK(result.exit_code == 0);
  CHECK(lines(result.out) == std::vector<std::string>{"out/000000-5.png", "out/000001-1.png"});
  setup.input = "{\"prompt\": \"a cat\"}\nnonsense\n";
  const ProgramResult refused = ldm_gen(batch({"--jobs", "-"}), setup);
  CHECK(refused.exit_code == 3);
  CHECK(refused.err.find("stdin:2: byte ") != std::string::npos);
}

TEST_CASE("a sweep is one command") {
  const TempDir dir;
  const ProgramResult result =
      ldm_gen_in(dir, batch({"-p", "a cat", "--sweep", "steps=2,3", "--sweep", "sampler=ddim,euler",
                             "--name-template", "{sampler}-{steps}"}));
  CHECK(result.exit_code == 0);
  CHECK(lines(result.out) == std::vector<std::string>{"out/ddim-2.png", "out/euler-2.png",
                                                      "out/ddim-3.png", "out/euler-3.png"});
}

TEST_CASE("a time limit ends a batch between pictures") {
  const TempDir dir;
  dir.write("p.txt", "a\nb\nc\n");
  const ProgramResult result =
      ldm_gen_in(dir, batch({"--prompts", "p.txt", "--time-limit", "0.001s"}));
  CHECK(result.exit_code == 75);
  CHECK(result.err.find("time limit reached: 0/3 done") != std::string::npos);
  CHECK(ldm_gen_in(dir, batch({"--prompts", "p.txt", "--time-limit", "1h"})).exit_code == 0);
}

TEST_CASE("batch options that cannot be are told together") {
  const TempDir dir;
  const ProgramResult result = ldm_gen_in(
      dir, {"--jobs", "a", "--prompts", "b", "-o", "c.png", "--shard", "0/2", "--shared"});
  CHECK(result.exit_code == 2);
  CHECK(result.err.find("add --output-dir DIR") != std::string::npos);
  CHECK(result.err.find("--jobs and --prompts exclude each other") != std::string::npos);
  CHECK(result.err.find("--shard and --shared exclude each other") != std::string::npos);
  const ProgramResult missing =
      ldm_gen_in(dir, {"-p", "a", "--output-dir", "no/such/folder", "--steps", "2"});
  CHECK(missing.exit_code == 5);
  CHECK(missing.err.find("no/such/folder") != std::string::npos);
}

}  // namespace
}  // namespace ldm::test
