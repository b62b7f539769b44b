#include <set>
#include <string>
#include <vector>

#include "ldm/app/command_line.h"
#include "ldm/app/config_file.h"
#include "ldm/app/option_values.h"
#include "ldm/app/options.h"
#include "ldm/core/error.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace ldm::app {
namespace {

Invocation parse(const std::vector<std::string>& args) { return parse_command_line(args); }

/// The usage error that `args` give.
Error refused(const std::vector<std::string>& args) {
  try {
    parse(args);
  } catch (const Error& error) {
    return error;
  }
  return Error::internal("accepted");
}

TEST_CASE("every option has one key, one heading block and a help") {
  std::set<std::string> keys;
  std::set<std::string> flags;
  std::set<std::string_view> finished;
  std::string_view group;
  for (const OptionSpec& spec : option_table()) {
    CHECK(keys.insert(option_key(spec)).second);
    CHECK(flags
              .insert(std::string(spec.flags.substr(0, 2)) == "--"
                          ? long_flag(spec)
                          : std::string(spec.flags.substr(0, 2)))
              .second);
    CHECK(!spec.help.empty());
    if (spec.group != group) CHECK(finished.insert(spec.group).second);
    group = spec.group;
  }
  for (const CommandSpec& command : command_table()) {
    for (const std::string_view key : command.options) CHECK(find_option(key) != nullptr);
  }
}

TEST_CASE("the help names every flag and fits 100 columns") {
  const std::string help = help_text("");
  for (const OptionSpec& spec : option_table()) CHECK(help.find(long_flag(spec)) != help.npos);
  for (const CommandSpec& row : command_table()) CHECK(help.find(row.name) != help.npos);
  std::size_t columns = 0;
  for (const char c : help) {
    if (c == '\n') columns = 0;
    if (c != '\n' && (static_cast<unsigned char>(c) & 0xC0U) != 0x80U) ++columns;
    REQUIRE(columns <= 100);
  }
  CHECK(help_text("tokens").find("--prompt") != std::string::npos);
  CHECK(help_text("tokens").find("--width") == std::string::npos);
}

TEST_CASE("short and long forms, joined values and switches are read") {
  const Options o = parse({"-p", "a cat", "-s42", "--steps=7", "-g", "1e1", "-W", "64", "-H64",
                           "-N", "3", "--overwrite", "--sampler", "euler-a"})
                        .options;
  CHECK(o.prompt == "a cat");
  CHECK(o.seed == 42U);
  CHECK(o.steps == 7);
  CHECK(o.guidance_scale == 10.0);
  CHECK(o.width == 64);
  CHECK(o.height == 64);
  CHECK(o.num_images == 3);
  CHECK(o.overwrite == true);
  CHECK(o.sampler == "euler-a");
  CHECK(!o.negative_prompt);
  CHECK(!o.quiet);
}

TEST_CASE("LoRAs may be given several times, and a config file lists them") {
  const Options o = parse({"--lora", "a.safetensors", "--lora=b.safetensors:0.5"}).options;
  const std::vector<std::string> both = {"a.safetensors", "b.safetensors:0.5"};
  CHECK(o.lora == both);
  CHECK(refused({"--lora", ""}).code() == ErrorCode::kUsage);
  const OptionSpec& spec = *find_option("lora");
  CHECK(get_as_json(spec, o) == nlohmann::json(both));
  Options read;
  CHECK(!set_from_json(spec, both, read));
  CHECK(read.lora == both);
  CHECK(set_from_json(spec, "a.safetensors", read)->message ==
        "/lora: expected an array of strings, found string");
  CHECK(set_from_json(spec, {1}, read)->message ==
        "/lora: expected an array of strings, found number");
}

TEST_CASE("prompts may look like anything") {
  for (const std::string text :
       {"", "-", "--steps", "[a, b]", "{x}", "samplers", "a=b", "-5", "%%"}) {
    CHECK(parse({"--prompt", text}).options.prompt == text);
    CHECK(parse({"-p", text, "--steps", "3"}).options.prompt == text);
    CHECK(parse({"-p", text, "--steps", "3"}).command.empty());
  }
  CHECK(parse({"--prompt=", "--steps", "3"}).options.prompt == "");
  CHECK(parse({"--prompt=a=b"}).options.prompt == "a=b");
}

TEST_CASE("a switch can be turned off again") {
  CHECK(parse({"--low-memory=false"}).options.low_memory == false);
  CHECK(parse({"--low-memory"}).options.low_memory == true);
  CHECK(refused({"--low-memory=maybe"}).code() == ErrorCode::kUsage);
}

TEST_CASE("seeds span 64 bits") {
  CHECK(parse({"-s", "18446744073709551615"}).options.seed == 18446744073709551615U);
  for (const std::string bad :
       {"-1", "18446744073709551616", "1.5", "0x10", "", " 1", "1 ", "+1"}) {
    const Error error = refused({"--seed", bad});
    CHECK(error.code() == ErrorCode::kUsage);
    CHECK(error.hint().find("18446744073709551615") != std::string::npos);
  }
}

TEST_CASE("numbers are whole strings, finite and in range") {
  for (const std::string bad :
       {"nan", "inf", "-inf", "1e999", "7,5", "7.5x", "", "1e308", "-1e4"}) {
    CHECK(refused({"--guidance-scale", bad}).code() == ErrorCode::kUsage);
  }
  for (const std::string bad : {"0", "-3", "1001", "2.5", "99999999999999999999", "ten"}) {
    CHECK(refused({"--steps", bad}).code() == ErrorCode::kUsage);
  }
  CHECK(refused({"--strength", "1.01"}).message().find("0…1") != std::string::npos);
}

TEST_CASE("all bad values are named in one message") {
  const Error error = refused({"--steps", "0", "--eta", "nan", "--sampler", "eulr", "-s", "-1"});
  CHECK(error.code() == ErrorCode::kUsage);
  for (const char* part : {"--steps: 0", "--eta", "eulr", "--seed"}) {
    CHECK(error.message().find(part) != std::string::npos);
  }
  CHECK(error.hint().find("did you mean euler?") != std::string::npos);
}

TEST_CASE("unknown options, missing values and stray words are explained") {
  CHECK(refused({"--stpes", "3"}).message() == "unknown option \"--stpes\"");
  CHECK(refused({"--stpes", "3"}).hint() == "did you mean --steps?");
  CHECK(refused({"--stpes=3"}).hint() == "did you mean --steps?");
  CHECK(refused({"-x"}).message() == "unknown option \"-x\"");
  CHECK(refused({"--seed"}).message() == "--seed needs a value: --seed N");
  CHECK(refused({"-s"}).message() == "--seed needs a value: --seed N");
  CHECK(refused({"a", "red", "apple"}).hint().find("--prompt") != std::string::npos);
  CHECK(refused({"sampler"}).hint() == "did you mean the command samplers?");
  CHECK(refused({"--seed", "1", "--seed", "2"}).message() == "--seed is given 2 times");
  CHECK(refused({"samplers", "--steps", "3"}).code() == ErrorCode::kUsage);
  CHECK(refused({"--steps", "3", "samplers"}).message() == "--steps has no meaning for samplers");
  CHECK(refused({"inspect", "a", "b"}).message() == "unexpected argument \"b\"");
  CHECK(refused({"--frame", "x.png"}).message() == "unknown option \"--frame\"");
}

TEST_CASE("subcommands take their options and argument") {
  CHECK(parse({"samplers", "--json"}).command == "samplers");
  CHECK(parse({"samplers", "--json"}).options.json == true);
  const Invocation tokens = parse({"tokens", "--model", "m", "--prompt", "p"});
  CHECK(tokens.command == "tokens");
  CHECK(tokens.options.model == "m");
  CHECK(parse({"inspect", "some/folder"}).argument == "some/folder");
  CHECK(parse({"--help"}).action == Invocation::Action::kHelp);
  CHECK(parse({"tokens", "--help"}).command == "tokens");
  CHECK(parse({"--version"}).action == Invocation::Action::kVersion);
}

TEST_CASE("config files fill what the command line leaves open") {
  const test::TempDir dir;
  const auto file = dir.write("run.json", R"({"steps": 12, "prompt": "x", "guidance_scale": 3,
      "seed": 18446744073709551615, "low_memory": true, "eta": null})");
  Options options = parse({"--steps", "5"}).options;
  fill_unset(options, read_config_file(file));
  CHECK(options.steps == 5);
  CHECK(options.prompt == "x");
  CHECK(options.guidance_scale == 3.0);
  CHECK(options.seed == 18446744073709551615U);
  CHECK(options.low_memory == true);
  CHECK(!options.eta);
}

TEST_CASE("the printed config reads back the same") {
  const test::TempDir dir;
  const Options options =
      parse({"-p", "a \"b\" é", "-s", "7", "-g", "2.1", "--low-memory"}).options;
  const Options again = read_config_file(dir.write("c.json", config_text(options)));
  CHECK(config_text(again) == config_text(options));
  CHECK(again.prompt == options.prompt);
  CHECK(again.guidance_scale == options.guidance_scale);
}

TEST_CASE("broken config files are input errors that name the key") {
  const test::TempDir dir;
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"({"stpes": 3})", "/stpes"},         {R"({"steps": "3"})", "/steps"},
      {R"({"steps": 3.5})", "/steps"},       {R"({"seed": -1})", "seed"},
      {R"({"sampler": "eulr"})", "sampler"}, {R"({"config": "x"})", "/config"},
      {R"({"json": 1})", "/json"},           {R"([1])", "object"},
      {R"({"steps": 3,})", "byte"},          {R"({"steps": 1, "steps": 2})", "steps"}};
  for (const auto& [text, part] : cases) {
    INFO(text);
    try {
      read_config_file(dir.write("bad.json", text));
      FAIL("accepted");
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::kInput);
      CHECK(error.message().find("bad.json") != std::string::npos);
      CHECK(error.message().find(part) != std::string::npos);
    }
  }
  CHECK_THROWS_AS(read_config_file(dir / "none.json"), Error);
}

TEST_CASE("numbers print in the shortest exact form") {
  CHECK(number_text(7.5) == "7.5");
  CHECK(number_text(3) == "3");
  CHECK(number_text(1048576) == "1048576");
  CHECK(number_text(0.1) == "0.1");
  CHECK(number_text(1e308) == "1e+308");
}

}  // namespace
}  // namespace ldm::app
