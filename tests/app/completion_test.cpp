#include "ldm/app/completion.h"

#include <string>
#include <vector>

#include "ldm/app/exit_codes.h"
#include "ldm/core/error.h"
#include "tests/support/catch.h"
#include "tests/support/run_program.h"
#include "tests/support/temp_dir.h"

namespace ldm::app {
namespace {

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// What bash offers for the last of `words`, one an entry of a line.
std::string bash_offers(const test::TempDir& dir, const std::string& words) {
  const auto script = dir.write("completion.bash", completion_script("bash"));
  test::ProgramSetup setup;
  setup.folder = dir.path();
  const auto result =
      test::run_program({"bash", "--norc", "-c",
                         "source '" + script.string() + "'; COMP_WORDS=(" + words +
                             "); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _ldm_gen 2>/dev/null; "
                             "printf '%s|' \"${COMPREPLY[@]}\""},
                        setup);
  CHECK(result.exit_code == 0);
  return result.out;
}

TEST_CASE("tables say what values and arguments are") {
  CHECK(value_kind(*find_option("sampler")) == ValueKind::kWords);
  CHECK(value_kind(*find_option("model")) == ValueKind::kFiles);
  CHECK(value_kind(*find_option("lora")) == ValueKind::kFiles);
  CHECK(value_kind(*find_option("seed")) == ValueKind::kText);
  for (const CommandSpec& command : command_table()) {
    if (command.name == "completion") {
      CHECK(argument_words(command) == std::vector<std::string>{"bash", "zsh", "fish"});
    }
    if (command.name == "gallery") CHECK(argument_kind(command) == ValueKind::kFolders);
    if (command.name == "samplers") CHECK(argument_kind(command) == ValueKind::kText);
  }
}

TEST_CASE("bash completes options, their words, files, commands and arguments") {
  const test::TempDir dir;
  dir.write("some model.safetensors", "x");
  dir.write("folder/inside.png", "x");
  CHECK(bash_offers(dir, "ldm-gen --neg") == "--negative-prompt|");
  CHECK(has(bash_offers(dir, "ldm-gen --prompt 'a fox' --st"), "--steps|"));
  CHECK(bash_offers(dir, "ldm-gen --sampler dd") == "ddim|ddpm|");
  CHECK(bash_offers(dir, "ldm-gen --sampler = ddi") == "ddim|");
  CHECK(has(bash_offers(dir, "ldm-gen --metadata ="), "full|a1111|none|"));
  CHECK(bash_offers(dir, "ldm-gen -m some") == "some model.safetensors|");
  CHECK(bash_offers(dir, "ldm-gen --prompt x") == "|");
  CHECK(bash_offers(dir, "ldm-gen sampl") == "samplers|");
  CHECK(has(bash_offers(dir, "ldm-gen ''"), "gallery|"));
  CHECK(bash_offers(dir, "ldm-gen gallery ''") == "folder|");
  CHECK(bash_offers(dir, "ldm-gen gallery --e") == "--embed|");
  CHECK_FALSE(has(bash_offers(dir, "ldm-gen --e"), "--embed|"));
  CHECK(bash_offers(dir, "ldm-gen --output-dir f") == "folder|");
  CHECK(bash_offers(dir, "ldm-gen completion ''") == "bash|zsh|fish|");
  CHECK(bash_offers(dir, "ldm-gen tokens --wid") == "|");
  // A command's name as an option's value is no command.
  CHECK(bash_offers(dir, "ldm-gen -p tokens --wid") == "--width|");
  CHECK(bash_offers(dir, "ldm-gen --prompt = tokens --wid") == "--width|");
}

TEST_CASE("every option and command is in every script and in the manual") {
  for (const std::string shell : {"bash", "zsh", "fish"}) {
    const std::string script = completion_script(shell);
    INFO(shell);
    for (const OptionSpec& spec : option_table()) {
      const std::string flag = long_flag(spec);
      CHECK(has(script, shell == "fish" ? " -l " + flag.substr(2) + " " : flag));
    }
    for (const CommandSpec& command : command_table())
      CHECK(has(script, std::string(command.name)));
  }
  CHECK_THROWS_AS(completion_script("tcsh"), Error);
  CHECK_THROWS_AS(completion_script(""), Error);
}

TEST_CASE("the manual has its sections, and only ASCII and known escapes") {
  const std::string page = manual_page("2026-01-02");
  CHECK(page.starts_with(".TH LDM\\-GEN 1 \"2026-01-02\" \"ldm\\-gen "));
  for (const char* name : {"NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "COMMANDS", "EXIT STATUS",
                           "ENVIRONMENT", "FILES", "EXAMPLES"}) {
    CHECK(has(page, std::string(".SH ") + name + "\n"));
  }
  CHECK(has(page, "\\fB\\-s\\fR, \\fB\\-\\-seed\\fR \\fIN\\fR\n"));
  CHECK(has(page, "\\[u2026]"));
  for (const ExitCode& row : exit_codes()) CHECK(has(page, "\n" + std::to_string(row.code) + "\n"));
  for (const char c : page) REQUIRE((c == '\n' || (c >= ' ' && c <= '~')));
}

}  // namespace
}  // namespace ldm::app
