#include "tests/cli/ldm_gen.h"
#include "tests/support/catch.h"

namespace ldm::test {
namespace {

std::vector<std::string> tiny(std::vector<std::string> more) {
  std::vector<std::string> args = {"-m", tiny_model().string(), "-p", "a red apple",  "-s",
                                   "7",  "--threads",           "1",  "--no-progress"};
  args.insert(args.end(), more.begin(), more.end());
  return args;
}

std::string all_names() {
  std::string names;
  const nlohmann::json listed = nlohmann::json::parse(ldm_gen({"samplers", "--json"}).out);
  for (const auto& row : listed["samplers"]) {
    if (row["name"] == "edm-euler") continue;  // of EDM's models only
    names += (names.empty() ? "" : ",") + row["name"].get<std::string>();
  }
  return names;
}

nlohmann::json plan_of(const ProgramResult& result) {
  for (const nlohmann::json& event : events(result.out)) {
    if (event["event"] == "plan") return event;
  }
  return nullptr;
}

TEST_CASE("every sampler of the contract makes pictures from text and from a picture") {
  const TempDir dir;
  const std::string names = all_names();
  for (const char* name :
       {"ddim",   "ddpm", "pndm",     "euler",      "euler-a",   "heun",         "dpm2",
        "dpm2-a", "lms",  "dpmpp-2m", "dpmpp-2s-a", "dpmpp-sde", "dpmpp-2m-sde", "dpmpp-3m-sde",
        "unipc",  "deis", "ipndm",    "lcm",        "tcd",       "restart"}) {
    CHECK(("," + names + ",").find("," + std::string(name) + ",") != std::string::npos);
  }
  const ProgramResult text = ldm_gen_in(
      dir, tiny({"--steps", "3", "--sweep", "sampler=" + names, "--output-dir", "text"}));
  INFO(text.err);
  REQUIRE(text.exit_code == 0);
  CHECK(lines(text.out).size() == 20);
  const ProgramResult image =
      ldm_gen_in(dir, tiny({"--steps", "4", "--sweep", "sampler=" + names, "--output-dir", "image",
                            "-i", "text/000001-7.png", "--strength", "0.5"}));
  INFO(image.err);
  CHECK(image.exit_code == 0);
  CHECK(lines(image.out).size() == 20);
}

TEST_CASE("the plan counts model calls, not steps") {
  const std::vector<std::pair<std::string, int>> calls = {
      {"euler", 6}, {"heun", 11}, {"dpm2", 11}, {"dpmpp-sde", 11}, {"restart", 11}, {"pndm", 7}};
  for (const auto& [sampler, expected] : calls) {
    const ProgramResult result =
        ldm_gen(tiny({"--steps", "6", "--sampler", sampler, "--dry-run", "--json"}));
    const nlohmann::json plan = plan_of(result);
    INFO(sampler << " " << result.err);
    CHECK(plan["unet_calls"] == expected);
    CHECK(plan["timesteps"].size() == static_cast<std::size_t>(expected));
    CHECK(plan["sigmas"].size() == static_cast<std::size_t>(expected) + 1);
    CHECK(plan["request"]["steps"] == 6);
  }
}

TEST_CASE("listed levels say how many steps there are, and come back from the picture") {
  const TempDir dir;
  const auto args = tiny({"--sampler", "euler", "--sigmas", "14.6, 5,1.5,0.4", "-o", "a.png"});
  const ProgramResult made = ldm_gen_in(dir, args);
  INFO(made.err);
  REQUIRE(made.exit_code == 0);
  const nlohmann::json settings = settings_of(dir / "a.png");
  CHECK(settings["request"]["sigmas"] == "14.6,5,1.5,0.4");
  CHECK(settings["request"]["steps"] == 4);
  const ProgramResult again =
      ldm_gen_in(dir, {"replay", "a.png", "-m", tiny_model().string(), "--no-progress"});
  INFO(again.err);
  CHECK(again.exit_code == 0);

  const ProgramResult plan =
      ldm_gen(tiny({"--sampler", "ddim", "--timesteps", "900,500,100", "--dry-run", "--json"}));
  CHECK(plan_of(plan)["timesteps"] == nlohmann::json::parse("[900.0, 500.0, 100.0]"));
}

TEST_CASE("a schedule comes back from the picture and stands in the other tools' line") {
  const TempDir dir;
  const ProgramResult made =
      ldm_gen_in(dir, tiny({"--sampler", "dpmpp-2m-sde", "--schedule", "karras", "--schedule-rho",
                            "5", "--compat", "a1111", "--steps", "3", "-o", "a.png"}));
  INFO(made.err);
  REQUIRE(made.exit_code == 0);
  const auto text = text_of(dir / "a.png");
  CHECK(text[0].value.find("Sampler: DPM++ 2M SDE, Schedule type: Karras,") != std::string::npos);
  const ProgramResult again =
      ldm_gen_in(dir, {"replay", "a.png", "-m", tiny_model().string(), "--no-progress"});
  INFO(again.err);
  CHECK(again.exit_code == 0);
}

TEST_CASE("noise levels that cannot be are refused in one line") {
  const std::vector<std::pair<std::vector<std::string>, std::string>> bad = {
      {{"--sampler", "ddim", "--schedule", "karras"}, "ddim cannot follow the schedule karras"},
      {{"--sampler", "pndm", "--timesteps", "9,8"}, "pndm takes no --timesteps"},
      {{"--sampler", "euler", "--sigmas", "9,x"}, "--sigmas: \"x\" is no number"},
      {{"--sampler", "euler", "--sigmas", ","}, "--sigmas lists no number"},
      {{"--sampler", "euler", "--sigmas", "1,9"}, "must fall"},
      {{"--sampler", "euler", "--sigmas", "9,1,0", "--steps", "3"}, "a list of 2 steps"},
      {{"--sampler", "euler", "--sigmas", "9,1", "--schedule", "beta"}, "both say"},
      {{"--sampler", "euler", "--schedule", "karas"}, "did you mean karras"},
      {{"--sampler", "euler", "--schedule-rho", "3"}, "--schedule-rho"},
      {{"--sampler", "edm-euler"}, "EDM's preconditioning"},
      {{"--compat", "a111"}, "did you mean a1111"},
      {{"--compat", "a1111", "--sampler", "heun", "--timestep-spacing", "trailing"}, "both say"},
  };
  for (const auto& [args, part] : bad) {
    const ProgramResult result = ldm_gen(tiny(args));
    INFO(result.err);
    CHECK(result.exit_code == 2);
    CHECK(result.err.find(part) != std::string::npos);
    CHECK(lines(result.err).size() <= 3);
  }
}

TEST_CASE("an image of a batch is the image alone, Brownian noise included") {
  const TempDir dir;
  for (const char* sampler : {"dpmpp-sde", "dpmpp-2m-sde", "dpmpp-3m-sde", "lcm", "unipc"}) {
    const std::vector<std::string> how = {"--steps", "3", "--sampler", sampler, "--overwrite"};
    auto both = tiny({"-N", "2", "--batch-size", "2", "-o", "both.png", "--save-latents", "b.st"});
    auto alone = tiny({"-s", "8", "-o", "alone.png"});
    alone.erase(alone.begin() + 4, alone.begin() + 6);
    both.insert(both.end(), how.begin(), how.end());
    alone.insert(alone.end(), how.begin(), how.end());
    const ProgramResult two = ldm_gen_in(dir, both);
    const ProgramResult one = ldm_gen_in(dir, alone);
    INFO(sampler << two.err << one.err);
    REQUIRE(two.exit_code == 0);
    REQUIRE(one.exit_code == 0);
    const Image a = load_image(dir / "both-0002.png");
    CHECK(largest_difference(a, load_image(dir / "alone.png")) <= 1);
  }
}

TEST_CASE("compat tells what it sets") {
  for (const char* name : {"a1111", "comfyui", "compvis"}) {
    const ProgramResult result =
        ldm_gen(tiny({"--compat", name, "--sampler", "euler", "--dry-run"}));
    INFO(result.out << result.err);
    CHECK(
        (result.out + result.err).find("compat      " + std::string(name) + ": noise of torch's") !=
        std::string::npos);
  }
}

}  // namespace
}  // namespace ldm::test
