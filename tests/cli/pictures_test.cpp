#include <signal.h>

#include <cstdlib>

#include "ldm/io/hash.h"
#include "ldm/io/image.h"
#include "ldm/io/png.h"
#include "ldm/io/safetensors.h"
#include "tests/cli/ldm_gen.h"
#include "tests/support/catch.h"

namespace ldm::test {
namespace {

namespace fs = std::filesystem;
using Args = std::vector<std::string>;

/// A command that makes small pictures fast: two steps.
Args quick(Args more) {
  Args args = {"-p", "a red apple on a blue background", "--steps", "2", "--threads", "1"};
  args.insert(args.end(), more.begin(), more.end());
  return args;
}
TEST_CASE("a prompt becomes a picture and only its path is on stdout") {
  const TempDir dir;
  const ProgramResult result = ldm_gen_in(dir, quick({"-s", "42", "-o", "apple.png"}));
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  CHECK(result.out == "apple.png\n");
  const Image image = load_image(dir / "apple.png");
  CHECK(image.width == 128);
  CHECK(image.height == 128);
  CHECK(files_below(dir.path()) == Args{"apple.png"});
  const nlohmann::json settings = settings_of(dir / "apple.png");
  CHECK(settings["seed"] == 42);
  CHECK(settings["request"]["steps"] == 2);
  CHECK(settings["request"]["sampler"] == "ddim");
  CHECK(settings["weights"].size() == 3);
  CHECK(settings["weights"]["unet"] ==
        sha256_file(LDM_SOURCE_DIR "/weights/default/unet/diffusion_pytorch_model.safetensors"));
  CHECK(slurp(dir / "apple.png").find(dir.path().string()) == std::string::npos);
}

TEST_CASE("the same request gives the same bytes, and running it again is no error") {
  const TempDir dir;
  REQUIRE(ldm_gen_in(dir, quick({"-s", "7", "-o", "a.png"})).exit_code == 0);
  REQUIRE(ldm_gen_in(dir, quick({"-s", "7", "-o", "b.png"})).exit_code == 0);
  CHECK(slurp(dir / "a.png") == slurp(dir / "b.png"));
  CHECK(ldm_gen_in(dir, quick({"-s", "7", "-o", "a.png"})).exit_code == 0);
  const ProgramResult other = ldm_gen_in(dir, quick({"-s", "8", "-o", "a.png"}));
  CHECK(other.exit_code == 5);
  CHECK(other.err.find("--overwrite") != std::string::npos);
  CHECK(slurp(dir / "a.png") == slurp(dir / "b.png"));
  CHECK(ldm_gen_in(dir, quick({"-s", "8", "-o", "a.png", "--overwrite"})).exit_code == 0);
  CHECK(slurp(dir / "a.png") != slurp(dir / "b.png"));
}

TEST_CASE("image k of a run is the single image of seed + k, whatever the batch") {
  const TempDir dir;
  REQUIRE(ldm_gen_in(dir, quick({"-s", "5", "-N", "2", "-o", "two.png"})).out ==
          "two-0001.png\ntwo-0002.png\n");
  REQUIRE(ldm_gen_in(dir, quick({"-s", "5", "-N", "2", "--batch-size", "2", "-o", "b.png"}))
              .exit_code == 0);
  REQUIRE(ldm_gen_in(dir, quick({"-s", "6", "-o", "one.png"})).exit_code == 0);
  const Image one = load_image(dir / "one.png");
  CHECK(load_image(dir / "two-0002.png").rgb == one.rgb);
  CHECK(load_image(dir / "two-0001.png").rgb != one.rgb);
  CHECK(largest_difference(load_image(dir / "b-0002.png"), one) <= 1);
  CHECK(settings_of(dir / "two-0002.png")["seed"] == 6);
}

TEST_CASE("without a name: ldm-SEED.png, the seed said, the next free name") {
  const TempDir dir;
  const ProgramResult random = ldm_gen_in(dir, quick({}));
  REQUIRE(random.exit_code == 0);
  const Args names = files_below(dir.path());
  REQUIRE(names.size() == 1);
  CHECK(random.out == names[0] + "\n");
  const std::string seed = names[0].substr(4, names[0].size() - 8);
  CHECK(random.err.find("seed " + seed) != std::string::npos);
  CHECK(settings_of(dir / names[0])["seed"].dump() == seed);
  CHECK(ldm_gen_in(dir, quick({"-s", seed})).out == "ldm-" + seed + "-2.png\n");
  fs::create_directory(dir / "out");
  CHECK(ldm_gen_in(dir, quick({"-s", "3", "-o", "out"})).out == "out/ldm-3.png\n");
}

TEST_CASE("events of a run") {
  const TempDir dir;
  const ProgramResult result =
      ldm_gen_in(dir, quick({"-s", "1", "-N", "2", "-o", "a.png", "--json"}));
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  const auto list = events(result.out);
  std::map<std::string, int> counts;
  for (const auto& event : list) {
    CHECK(event["schema"] == 1);
    ++counts[event["event"]];
    if (event["event"] != "image") continue;
    const std::string bytes = slurp(dir / event["path"].get<std::string>());
    CHECK(event["sha256"] == sha256_hex(bytes));
    CHECK(event["seed"] == 1 + event["index"].get<int>());
  }
  CHECK(list.front()["event"] == "plan");
  CHECK(counts["load"] == 3);
  CHECK(counts["step"] == 4);
  CHECK(counts["image"] == 2);
  CHECK(counts["error"] == 0);
  const auto& done = list.back();
  CHECK(done["event"] == "done");
  CHECK(done["images"] == 2);
  CHECK(done["failed"] == 0);
  CHECK(done["exit_code"] == 0);
  CHECK(done["device"] == "cpu");
  CHECK(done["threads"] == 1);
  CHECK(done["timings"]["total_s"].get<double>() >= done["timings"]["start_to_first_step_s"]);
  CHECK(done["timings"]["start_to_first_step_s"].get<double>() > 0);
  CHECK(done["timings"]["unet_step_s"].get<double>() > 0);
  CHECK(done["timings"]["peak_rss_bytes"].get<double>() > 1e6);
}

TEST_CASE("a closed or broken stdout costs no picture") {
  const TempDir dir;
  for (const auto mode : {ProgramSetup::Stdout::kClosed, ProgramSetup::Stdout::kBrokenPipe}) {
    ProgramSetup setup;
    setup.folder = dir.path();
    setup.out = mode;
    const ProgramResult plain = ldm_gen(quick({"-s", "1", "-o", "a.png", "--overwrite"}), setup);
    CHECK(plain.exit_code == 0);
    CHECK(load_image(dir / "a.png").width == 128);
    fs::remove(dir / "a.png");
    const ProgramResult json = ldm_gen(quick({"-s", "1", "-o", "a.png", "--json"}), setup);
    CHECK(json.exit_code == 1);
    CHECK(load_image(dir / "a.png").width == 128);
    fs::remove(dir / "a.png");
  }
}

TEST_CASE("signals stop a run between steps; finished pictures stay") {
  const std::vector<std::pair<int, int>> cases = {{SIGINT, 130}, {SIGTERM, 143}};
  for (const auto& [signal, code] : cases) {
    const TempDir dir;
    ProgramSetup setup;
    setup.folder = dir.path();
    setup.signal = signal;
    setup.signal_at = "\"event\":\"image\"";
    const ProgramResult result =
        ldm_gen(quick({"-s", "1", "-N", "500", "-o", "a.png", "--json"}), setup);
    INFO(result.err);
    CHECK(result.exit_code == code);
    CHECK(!result.killed);
    const auto list = events(result.out);
    const auto& done = list.back();
    CHECK(done["exit_code"] == code);
    const Args files = files_below(dir.path());
    CHECK(done["images"] == files.size());
    CHECK(files.size() < 500);
    for (const std::string& file : files) CHECK(load_image(dir / file).width == 128);
    CHECK(result.err.find(std::to_string(files.size()) + "/500 done") != std::string::npos);
  }
}

TEST_CASE("prompts from stdin, from a config file and from the line are the same") {
  const TempDir dir;
  ProgramSetup setup;
  setup.folder = dir.path();
  setup.input = "a red apple on a blue background\n";
  REQUIRE(
      ldm_gen(Args{"-p", "-", "--steps", "2", "--threads", "1", "-s", "1", "-o", "in.png"}, setup)
          .exit_code == 0);
  dir.write("c.json", R"({"prompt": "a red apple on a blue background", "steps": 2, "threads": 1,
                          "seed": 9, "output": "config.png"})");
  REQUIRE(ldm_gen_in(dir, {"--config", "c.json", "-s", "1"}).out == "config.png\n");
  REQUIRE(ldm_gen_in(dir, quick({"-s", "1", "-o", "line.png"})).exit_code == 0);
  CHECK(slurp(dir / "in.png") == slurp(dir / "line.png"));
  CHECK(slurp(dir / "config.png") == slurp(dir / "line.png"));
}

TEST_CASE("a picture can start from a picture or from latents") {
  const TempDir dir;
  REQUIRE(ldm_gen_in(dir, quick({"-s", "1", "-o", "a.png", "--save-latents", "l.safetensors"}))
              .exit_code == 0);
  const SafetensorsFile latents(dir / "l.safetensors");
  REQUIRE(latents.find("latents") != nullptr);
  CHECK(latents.find("latents")->shape == std::vector<std::int64_t>{1, 16, 16, 16});
  CHECK(latents.find("latents")->dtype == DType::F32);
  const auto run = [&](Args more) {
    Args args = {"-p", "a cat", "--steps", "4", "-s", "2", "--json"};
    args.insert(args.end(), more.begin(), more.end());
    const ProgramResult result = ldm_gen_in(dir, args);
    INFO(result.err);
    REQUIRE(result.exit_code == 0);
    return events(result.out).front();
  };
  CHECK(run({"-i", "a.png", "--strength", "0.5", "-o", "i.png"})["unet_calls"] == 2);
  CHECK(run({"-i", "a.png", "--strength", "0.5", "--strength-mode", "exact", "-o",
             "e.png"})["unet_calls"] == 4);
  CHECK(run({"--init-latents", "l.safetensors", "--strength", "0.5", "-o",
             "l.png"})["unet_calls"] == 2);
  CHECK(run({"--init-latents", "l.safetensors", "-o", "n.png"})["unet_calls"] == 4);
  CHECK(load_image(dir / "i.png").width == 128);
  CHECK(settings_of(dir / "i.png")["init_image_sha256"] == sha256_file(dir / "a.png"));
  CHECK(settings_of(dir / "i.png")["request"]["strength"] == 0.5);
}

TEST_CASE("the model can come from the environment") {
  const TempDir dir;
  ProgramSetup setup;
  setup.folder = dir.path();
  setup.variables["LDM_MODEL"] = linked_model(dir).string();
  REQUIRE(ldm_gen(quick({"-s", "1", "-o", "a.png"}), setup).exit_code == 0);
  CHECK(settings_of(dir / "a.png")["model"] == "model");
  setup.variables["LDM_MODEL"] = "/nonexistent/model";
  CHECK(ldm_gen(quick({"-s", "1", "-o", "b.png"}), setup).exit_code == 4);
}

TEST_CASE("kept weights make the same pictures, and damaged ones are made again") {
  const TempDir dir;
  ProgramSetup setup;
  setup.folder = dir.path();
  setup.variables["XDG_CACHE_HOME"] = (dir / "cache").string();
  const std::string model = tiny_model().string();
  const auto make = [&](Args more) {
    Args args = {"-p", "a red apple", "-m", model, "-s", "1", "--steps", "2", "--quiet"};
    args.insert(args.end(), more.begin(), more.end());
    return ldm_gen(args, setup);
  };
  const auto pixels = [&](const char* name) { return load_image(dir / name).rgb; };
  REQUIRE(make({"-o", "plain.png"}).exit_code == 0);
  CHECK_FALSE(fs::exists(dir / "cache/ldm-gen/packed"));
  REQUIRE(make({"-o", "first.png", "--weight-cache"}).exit_code == 0);
  std::vector<fs::path> kept;
  for (const auto& item : fs::recursive_directory_iterator(dir / "cache/ldm-gen/packed")) {
    if (item.is_regular_file()) kept.push_back(item.path());
  }
  CHECK(kept.size() == 3);
  const ProgramResult second = make({"-o", "second.png", "--weight-cache"});
  CHECK(second.exit_code == 0);
  CHECK(second.err.empty());
  CHECK(pixels("first.png") == pixels("plain.png"));
  CHECK(pixels("second.png") == pixels("plain.png"));
  for (const fs::path& file : kept) fs::resize_file(file, fs::file_size(file) / 2);
  const ProgramResult third = make({"-o", "third.png", "--weight-cache"});
  CHECK(third.exit_code == 0);
  CHECK_THAT(third.err, Contains("is not used"));
  CHECK(pixels("third.png") == pixels("plain.png"));
  const ProgramResult fourth = make({"-o", "fourth.png", "--weight-cache"});
  CHECK(fourth.err.empty());
}

TEST_CASE("metadata, quiet and timings") {
  const TempDir dir;
  const ProgramResult quiet =
      ldm_gen_in(dir, quick({"-s", "1", "-o", "q.png", "--quiet", "--metadata", "none"}));
  CHECK(quiet.exit_code == 0);
  CHECK(quiet.err.empty());
  CHECK(quiet.out == "q.png\n");
  std::string bytes = slurp(dir / "q.png");
  CHECK(read_png_text(std::as_bytes(std::span(bytes)), "q").empty());
  const ProgramResult timed =
      ldm_gen_in(dir, quick({"-s", "1", "-o", "a.png", "--metadata", "a1111", "--timings"}));
  CHECK(timed.err.find("peak memory") != std::string::npos);
  CHECK(timed.err.find("image 1/1  seed 1") != std::string::npos);
  bytes = slurp(dir / "a.png");
  const auto text = read_png_text(std::as_bytes(std::span(bytes)), "a");
  REQUIRE(text.size() == 1);
  CHECK(text[0].value.find(
            "\nSteps: 2, Sampler: DDIM, CFG scale: 3, Seed: 1, Size: 128x128, Model hash: ") !=
        std::string::npos);
}

}  // namespace
TEST_CASE("large pictures of a batch have the numbers that they have alone") {
  const TempDir dir;
  const auto latents = [&](const std::string& batch_size) {
    const std::string file = "latents-" + batch_size + ".safetensors";
    REQUIRE(ldm_gen_in(dir, {"--model",
                             LDM_SOURCE_DIR "/tests/golden/runs/sd1",
                             "-p",
                             "a cat",
                             "-s",
                             "1",
                             "-N",
                             "3",
                             "--batch-size",
                             batch_size,
                             "--steps",
                             "2",
                             "-W",
                             "512",
                             "-H",
                             "512",
                             "--threads",
                             "2",
                             "--save-latents",
                             file,
                             "-o",
                             batch_size + ".png"})
                .exit_code == 0);
    return slurp(dir.path() / file);
  };
  CHECK(latents("1") == latents("3"));
}

TEST_CASE("a preview keeps a picture of the work in progress and leaves the result alone") {
  const TempDir dir;
  const auto make = [&](Args more) {
    more.insert(more.begin(), {"-p", "a red apple", "--steps", "3", "--threads", "1", "-s", "3",
                               "-m", tiny_model().string()});
    return ldm_gen_in(dir, std::move(more));
  };
  REQUIRE(make({"-o", "plain.png"}).exit_code == 0);
  const ProgramResult result = make({"-o", "watched.png", "--preview", "now.png"});
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  CHECK(result.out == "watched.png\n");
  CHECK(slurp(dir / "plain.png") == slurp(dir / "watched.png"));
  CHECK(load_image(dir / "now.png").width == load_image(dir / "plain.png").width);
  // The file is replaced; and in a batch it shows whatever is being made.
  CHECK(make({"--output-dir", "batch", "--sweep", "seed=3,4", "--preview", "now.png",
              "--preview-every", "2"})
            .exit_code == 0);
  CHECK(files_below(dir / "batch").size() >= 3);

  const ProgramResult lonely = make({"-o", "b.png", "--preview-every", "2"});
  CHECK(lonely.exit_code == 2);
  CHECK(lonely.err.find("--preview-every needs a file for the previews") != std::string::npos);
  CHECK(make({"-o", "b.png", "--preview", "b.png"}).exit_code == 2);
  CHECK(make({"-o", "b.png", "--preview", "none/b.png"}).exit_code == 5);
  CHECK(make({"-o", "b.png", "--preview", "now.png", "--preview-every", "0"}).exit_code == 2);
  CHECK(make({"-o", "b.png", "--preview", "now.png", "--preview-vae", "none.safetensors"})
            .exit_code == 4);
  CHECK_FALSE(std::filesystem::exists(dir / "b.png"));
}

TEST_CASE("guidance interval, FreeU, PAG and DeepCache are recorded and replayed, in sweeps too") {
  const TempDir dir;
  const std::string model = tiny_model().string();
  const Args common = {"-p", "a red apple", "--steps", "4",  "--threads",
                       "1",  "-s",          "3",       "-m", model};
  Args one = common;
  one.insert(one.end(), {"-o", "a.png", "--guidance-interval", "0.25,0.75", "--freeu",
                         "1.5,1.6,0.9,0.2", "--pag-scale", "2.5"});
  REQUIRE(ldm_gen_in(dir, one).exit_code == 0);
  const nlohmann::json request = settings_of(dir / "a.png")["request"];
  CHECK(request["guidance_interval"] == "0.25,0.75");
  CHECK(request["freeu"] == "1.5,1.6,0.9,0.2");
  CHECK(request["pag_scale"] == 2.5);
  CHECK(request["pag_layers"] == "mid");
  const ProgramResult again = ldm_gen_in(dir, {"replay", "a.png", "-m", model});
  INFO(again.err);
  CHECK(again.exit_code == 0);

  Args deep = common;
  deep.insert(deep.end(), {"-o", "b.png", "--deep-cache", "2"});
  REQUIRE(ldm_gen_in(dir, deep).exit_code == 0);
  CHECK(settings_of(dir / "b.png")["request"]["deep_cache"] == 2);
  CHECK(ldm_gen_in(dir, {"replay", "b.png", "-m", model}).exit_code == 0);
  deep.insert(deep.end(), {"--pag-scale", "2", "--overwrite"});
  const ProgramResult refused = ldm_gen_in(dir, deep);
  CHECK(refused.exit_code == 2);
  CHECK_THAT(refused.err, Contains("DeepCache leaves out what perturbed"));

  Args swept = common;
  swept.insert(swept.end(),
               {"--sweep", "guidance-interval=0\\,1,0\\,0.5", "--output-dir", "sweep"});
  const ProgramResult sweep = ldm_gen_in(dir, swept);
  INFO(sweep.err);
  REQUIRE(sweep.exit_code == 0);
  const Args made = lines(sweep.out);
  REQUIRE(made.size() == 2);
  CHECK_FALSE(settings_of(dir / made[0])["request"].contains("guidance_interval"));
  CHECK(settings_of(dir / made[1])["request"]["guidance_interval"] == "0,0.5");
}

}  // namespace ldm::test
