#include "ldm/app/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <utility>

#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm::app {
namespace {

struct Binding {
  const OptionSpec* spec;
  CLI::Option* option;
};

struct Parser {
  CLI::App app;
  std::vector<Binding> bindings;
  CLI::Option* version = nullptr;
  std::vector<CLI::Option*> arguments;
};

void bind(Parser& parser, CLI::App& app, const OptionSpec& spec) {
  const std::string flags(spec.flags);
  CLI::Option* option = spec.is_switch() ? app.add_flag(flags) : app.add_option(flags);
  option->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  parser.bindings.push_back({&spec, option});
}

void declare(Parser& parser) {
  parser.app.set_help_flag("-h,--help");
  parser.app.allow_extras();
  parser.app.require_subcommand(0, 1);
  parser.version = parser.app.add_flag("-V,--version");
  for (const OptionSpec& spec : option_table()) bind(parser, parser.app, spec);
  for (const CommandSpec& command : command_table()) {
    CLI::App* sub = parser.app.add_subcommand(std::string(command.name));
    sub->allow_extras();
    for (const std::string_view key : command.options) bind(parser, *sub, *find_option(key));
    if (!command.argument.empty()) {
      parser.arguments.push_back(sub->add_option(std::string(command.argument)));
    }
  }
}

/// CLI11 takes "--name=" for an option whose value follows; split it so that the value is empty.
std::vector<std::string> split_empty_values(std::span<const std::string> args) {
  std::vector<std::string> out;
  for (const std::string& arg : args) {
    if (arg.size() > 3 && arg.starts_with("--") && arg.find('=') == arg.size() - 1) {
      out.push_back(arg.substr(0, arg.size() - 1));
      out.emplace_back();
    } else {
      out.push_back(arg);
    }
  }
  return out;
}

[[noreturn]] void throw_unknown(const std::vector<std::string>& extras, bool in_subcommand) {
  std::vector<std::string> known = {"help", "version"};
  for (const OptionSpec& spec : option_table()) known.push_back(long_flag(spec).substr(2));
  const auto is_flag = [](const std::string& arg) { return arg.size() > 1 && arg[0] == '-'; };
  const auto flag = std::find_if(extras.begin(), extras.end(), is_flag);
  if (flag != extras.end()) {
    const std::string name = flag->substr(0, flag->find('='));
    const std::string nearest = nearest_word(name.substr(name.find_first_not_of('-')), known);
    throw Error::usage(cat("unknown option \"", name, "\""),
                       nearest.empty() ? "ldm-gen --help lists all options"
                                       : cat("did you mean --", nearest, "?"));
  }
  std::vector<std::string> commands;
  for (const CommandSpec& command : command_table()) commands.emplace_back(command.name);
  const std::string nearest = nearest_word(extras.front(), commands);
  throw Error::usage(cat("unexpected argument \"", extras.front(), "\""),
                     !nearest.empty() && !in_subcommand
                         ? cat("did you mean the command ", nearest, "?")
                         : "the prompt goes after --prompt, in quotes");
}

/// The option at the end of the line that lacks its value, if that is what was wrong.
const OptionSpec* option_without_value(std::span<const std::string> args) {
  if (args.empty()) return nullptr;
  for (const OptionSpec& spec : option_table()) {
    const std::string_view flags = spec.flags;
    const bool is_last =
        args.back() == long_flag(spec) || (flags[1] != '-' && args.back() == flags.substr(0, 2));
    if (is_last && !spec.is_switch()) return &spec;
  }
  return nullptr;
}

[[noreturn]] void rethrow_parse_error(const CLI::ParseError& error,
                                      std::span<const std::string> args) {
  if (const OptionSpec* spec = option_without_value(args)) {
    throw Error::usage(
        cat(long_flag(*spec), " needs a value: ", long_flag(*spec), " ", spec->value),
        "ldm-gen --help lists all options");
  }
  const std::string text = error.what();
  throw Error::usage(text.substr(0, text.find('\n')), "ldm-gen --help lists all options");
}

/// Reads the values of all bound options; what is wrong with them is collected.
std::vector<Problem> read_values(const Parser& parser, Invocation& out) {
  std::vector<Problem> problems;
  const CommandSpec* command = nullptr;
  for (const CommandSpec& row : command_table()) {
    if (row.name == out.command) command = &row;
  }
  for (const Binding& binding : parser.bindings) {
    if (binding.option->count() == 0) continue;
    const std::string flag = long_flag(*binding.spec);
    if (command != nullptr) {
      const auto& keys = command->options;
      if (std::find(keys.begin(), keys.end(), option_key(*binding.spec)) == keys.end()) {
        problems.push_back({cat(flag, " has no meaning for ", out.command),
                            cat("ldm-gen ", out.command, " --help lists its options")});
        continue;
      }
    }
    if (command == nullptr && !binding.spec->generates) {
      problems.push_back({cat(flag, " has no meaning for making pictures"),
                          "ldm-gen --help says which command takes it"});
      continue;
    }
    const std::vector<std::string>& values = binding.option->results();
    if (values.size() > 1 && !binding.spec->is_switch() && !binding.spec->is_list()) {
      problems.push_back({cat(flag, " is given ", values.size(), " times"), {}});
      continue;
    }
    const std::size_t used = binding.spec->is_list() ? values.size() : 1;
    for (std::size_t i = 0; i < used; ++i) {
      auto problem = set_from_text(*binding.spec, values[i], out.options);
      if (problem) problems.push_back(*std::move(problem));
    }
  }
  return problems;
}

void take_command(Parser& parser, Invocation& out) {
  const std::vector<CLI::App*> subcommands = parser.app.get_subcommands();
  if (!subcommands.empty()) out.command = subcommands.front()->get_name();
}

}  // namespace

Invocation parse_command_line(std::span<const std::string> args) {
  Parser parser;
  declare(parser);
  Invocation out;
  std::vector<std::string> reversed = split_empty_values(args);
  std::reverse(reversed.begin(), reversed.end());
  try {
    parser.app.parse(std::move(reversed));
  } catch (const CLI::CallForHelp&) {
    out.action = Invocation::Action::kHelp;
  } catch (const CLI::ParseError& error) {
    rethrow_parse_error(error, args);
  }
  take_command(parser, out);
  if (out.action == Invocation::Action::kHelp) return out;
  if (parser.version->count() > 0) {
    out.action = Invocation::Action::kVersion;
    return out;
  }
  const std::vector<std::string> extras = parser.app.remaining(true);
  if (!extras.empty()) throw_unknown(extras, !out.command.empty());
  for (const CLI::Option* argument : parser.arguments) {
    if (argument->count() > 0) out.argument = argument->results().front();
  }
  std::vector<Problem> problems = read_values(parser, out);
  for (Problem& problem : check_ranges(out.options)) problems.push_back(std::move(problem));
  throw_problems(problems);
  return out;
}

}  // namespace ldm::app
