#include "ldm/app/completion.h"

#include <algorithm>
#include <cstdlib>
#include <ctime>

#include "ldm/app/commands.h"
#include "ldm/app/shell_words.h"
#include "ldm/core/environment.h"
#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm::app {
namespace {

/// The rows that a command takes, or making pictures for null.
std::vector<const OptionSpec*> rows_of(const CommandSpec* command) {
  std::vector<const OptionSpec*> rows;
  if (command != nullptr) {
    for (const std::string_view key : command->options) rows.push_back(find_option(key));
    return rows;
  }
  for (const OptionSpec& spec : option_table()) {
    if (spec.generates) rows.push_back(&spec);
  }
  return rows;
}

std::string flag_words(const CommandSpec* command) {
  std::vector<std::string> words;
  for (const OptionSpec* spec : rows_of(command)) {
    for (std::string& flag : flags_of(*spec)) words.push_back(std::move(flag));
  }
  words.insert(words.end(), {"-h", "--help"});
  if (command == nullptr) words.insert(words.end(), {"-V", "--version"});
  return join(words, " ");
}

std::vector<std::string> command_names() {
  std::vector<std::string> names;
  for (const CommandSpec& command : command_table()) names.emplace_back(command.name);
  return names;
}

std::string bash_values(ValueKind kind, const std::vector<std::string>& words) {
  switch (kind) {
    case ValueKind::kWords:
      return cat("_ldm_gen_reply -W ", shell_quoted(join(words, " ")));
    case ValueKind::kFiles:
      return "_ldm_gen_reply -f";
    case ValueKind::kFolders:
      return "_ldm_gen_reply -d";
    case ValueKind::kText:
      break;
  }
  return ":";
}

constexpr std::string_view kBashHead =
    R"(# bash completion of ldm-gen; printed by: ldm-gen completion bash
_ldm_gen_reply() {
  [ "$1" = -W ] || compopt -o filenames 2>/dev/null
  mapfile -t COMPREPLY < <(compgen "$@" -- "$cur")
}

_ldm_gen() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command='' i
  COMPREPLY=()
  # readline splits --name=value at the sign.
  if [ "$cur" = = ]; then
    cur=''
  elif [ "$prev" = = ]; then
    prev=${COMP_WORDS[COMP_CWORD-2]}
  fi
  for ((i = 1; i < COMP_CWORD; ++i)); do
    case ${COMP_WORDS[i]} in
)";

std::string bash_script() {
  std::vector<std::string> with_value;
  std::string values;
  for (const OptionSpec& spec : option_table()) {
    if (spec.is_switch()) continue;
    const std::vector<std::string> flags = flags_of(spec);
    with_value.insert(with_value.end(), flags.begin(), flags.end());
    const auto words = spec.choices != nullptr ? spec.choices() : std::vector<std::string>();
    values +=
        cat("    ", join(flags, "|"), ") ", bash_values(value_kind(spec), words), "; return ;;\n");
  }
  std::string out(kBashHead);
  out += cat("      ", join(with_value, "|"),
             ")\n        [ \"${COMP_WORDS[i+1]-}\" != = ] || ((++i))\n        ((++i)) ;;\n");
  out += cat("      ", join(command_names(), "|"), ") command=${COMP_WORDS[i]}; break ;;\n");
  out += "    esac\n  done\n  case $prev in\n" + values + "  esac\n  case $command in\n";
  for (const CommandSpec& command : command_table()) {
    out +=
        cat("    ", command.name, ")\n      case $cur in\n        -*) _ldm_gen_reply -W '",
            flag_words(&command), "' ;;\n        *) ",
            bash_values(argument_kind(command), argument_words(command)), " ;;\n      esac ;;\n");
  }
  out += cat("    *)\n      case $cur in\n        -*) _ldm_gen_reply -W '", flag_words(nullptr),
             "' ;;\n        *) _ldm_gen_reply -W '", join(command_names(), " "),
             "' ;;\n      esac ;;\n  esac\n}\ncomplete -F _ldm_gen ldm-gen\n");
  return out;
}

/// `text` with the characters that mean something inside zsh's option specifications escaped.
std::string zsh_escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (std::string_view("[]:\\").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

std::string zsh_action(ValueKind kind, const std::vector<std::string>& words) {
  if (kind == ValueKind::kWords) return cat("(", join(words, " "), ")");
  if (kind == ValueKind::kFiles) return "_files";
  return kind == ValueKind::kFolders ? "_files -/" : " ";
}

std::string zsh_options(const CommandSpec* command, const std::string& indent) {
  std::string out;
  const auto add = [&](const std::string& spec) {
    out += cat(" \\\n", indent, shell_quoted(spec));
  };
  for (const OptionSpec* spec : rows_of(command)) {
    const std::vector<std::string> flags = flags_of(*spec);
    const std::string alone = spec->is_list() ? "*" : cat("(", join(flags, " "), ")");
    const auto words = spec->choices != nullptr ? spec->choices() : std::vector<std::string>();
    for (const std::string& flag : flags) {
      std::string text = alone + flag;
      if (!spec->is_switch()) text += flag.size() == 2 ? "+" : "=";
      text += cat("[", zsh_escaped(spec->help), "]");
      if (!spec->is_switch()) {
        text += cat(":", zsh_escaped(spec->value), ":", zsh_action(value_kind(*spec), words));
      }
      add(text);
    }
  }
  add("(-h --help)-h[help]");
  add("(-h --help)--help[help]");
  if (command == nullptr) add("(-V --version)--version[version, revision and libtorch]");
  return out;
}

std::string zsh_script() {
  std::string out =
      "#compdef ldm-gen\n"
      "# zsh completion of ldm-gen; printed by: ldm-gen completion zsh\n"
      "_ldm_gen() {\n  local state\n  local -a commands\n  commands=(\n";
  for (const CommandSpec& command : command_table()) {
    out += cat("    ", shell_quoted(cat(command.name, ":", command.help)), "\n");
  }
  out += "  )\n  if (( CURRENT > 2 )); then\n    case $words[2] in\n";
  for (const CommandSpec& command : command_table()) {
    out += cat("      ", command.name, ")\n        shift words; (( CURRENT-- ))\n",
               "        _arguments", zsh_options(&command, "          "));
    if (!command.argument.empty()) {
      out += cat(" \\\n          ",
                 shell_quoted(cat("1:", command.argument, ":",
                                  zsh_action(argument_kind(command), argument_words(command)))));
    }
    out += "\n        return ;;\n";
  }
  out += cat("    esac\n  fi\n  _arguments", zsh_options(nullptr, "    "),
             " \\\n    '1: :->command' && return\n",
             "  [[ $state != command ]] || _describe command commands\n}\n",
             "if [[ ${funcstack[1]} == _ldm-gen ]]; then\n  _ldm_gen \"$@\"\nelse\n",
             "  compdef _ldm_gen ldm-gen\nfi\n");
  return out;
}

std::string fish_quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

std::string fish_values(ValueKind kind, const std::vector<std::string>& words) {
  if (kind == ValueKind::kWords) return " -x -a " + fish_quoted(join(words, " "));
  if (kind == ValueKind::kFiles) return " -r -F";
  return kind == ValueKind::kFolders ? " -x -a '(__fish_complete_directories)'" : " -x";
}

std::string fish_options(const CommandSpec* command, const std::string& condition) {
  std::string out;
  for (const OptionSpec* spec : rows_of(command)) {
    out += "complete -c ldm-gen -n " + condition;
    for (const std::string& flag : flags_of(*spec)) {
      out += flag.size() == 2 ? " -s " + flag.substr(1) : " -l " + flag.substr(2);
    }
    const auto words = spec->choices != nullptr ? spec->choices() : std::vector<std::string>();
    if (!spec->is_switch()) out += fish_values(value_kind(*spec), words);
    out += cat(" -d ", fish_quoted(spec->help), "\n");
  }
  return out + cat("complete -c ldm-gen -n ", condition, " -s h -l help -d help\n");
}

std::string fish_script() {
  const std::string any = join(command_names(), " ");
  const std::string none = fish_quoted("not __fish_seen_subcommand_from " + any);
  std::string out =
      "# fish completion of ldm-gen; printed by: ldm-gen completion fish\n"
      "complete -c ldm-gen -f\n";
  for (const CommandSpec& command : command_table()) {
    out += cat("complete -c ldm-gen -n ", none, " -a ", command.name, " -d ",
               fish_quoted(command.help), "\n");
  }
  out += fish_options(nullptr, none);
  out += cat("complete -c ldm-gen -n ", none, " -s V -l version -d 'version of ldm-gen'\n");
  for (const CommandSpec& command : command_table()) {
    const std::string here = fish_quoted(cat("__fish_seen_subcommand_from ", command.name));
    out += fish_options(&command, here);
    const ValueKind kind = argument_kind(command);
    if (kind == ValueKind::kFiles) out += cat("complete -c ldm-gen -n ", here, " -F\n");
    if (kind != ValueKind::kWords && kind != ValueKind::kFolders) continue;
    out += cat("complete -c ldm-gen -n ", here, fish_values(kind, argument_words(command)), "\n");
  }
  return out;
}

/// The day of $SOURCE_DATE_EPOCH, which build tools set for repeatable output; else empty.
std::string source_date() {
  const std::string text = environment("SOURCE_DATE_EPOCH");
  if (text.empty()) return {};
  const std::time_t seconds = std::strtoll(text.c_str(), nullptr, 10);
  std::tm day{};
  char out[16] = "";
  if (::gmtime_r(&seconds, &day) == nullptr) return {};
  return std::string(out, std::strftime(out, sizeof out, "%Y-%m-%d", &day));
}

}  // namespace

ValueKind value_kind(const OptionSpec& spec) {
  if (spec.choices != nullptr) return ValueKind::kWords;
  if (spec.value == "DIR") return ValueKind::kFolders;
  return spec.value.starts_with("FILE") || spec.value.starts_with("PATH") ? ValueKind::kFiles
                                                                          : ValueKind::kText;
}

ValueKind argument_kind(const CommandSpec& command) {
  if (command.argument.empty()) return ValueKind::kText;
  if (command.argument.find('|') != std::string_view::npos) return ValueKind::kWords;
  return command.argument == "DIR" ? ValueKind::kFolders : ValueKind::kFiles;
}

std::vector<std::string> argument_words(const CommandSpec& command) {
  std::vector<std::string> words;
  std::string_view rest = command.argument;
  while (argument_kind(command) == ValueKind::kWords && !rest.empty()) {
    const std::size_t bar = rest.find('|');
    words.emplace_back(rest.substr(0, bar));
    rest.remove_prefix(bar == std::string_view::npos ? rest.size() : bar + 1);
  }
  return words;
}

std::vector<std::string> flags_of(const OptionSpec& spec) {
  const std::string flags(spec.flags);
  const std::size_t comma = flags.find(',');
  if (comma == std::string::npos) return {flags};
  return {flags.substr(0, comma), flags.substr(comma + 1)};
}

std::string completion_script(std::string_view shell) {
  if (shell == "bash") return bash_script();
  if (shell == "zsh") return zsh_script();
  if (shell == "fish") return fish_script();
  throw Error::usage(
      shell.empty() ? std::string("no shell is named") : cat("no completion for \"", shell, "\""),
      "ldm-gen completion bash|zsh|fish");
}

void print_completion(const std::string& kind, Console& console) {
  // "man" is for installing: the manual comes from the same tables, and no user reads roff.
  std::string text = kind == "man" ? manual_page(source_date()) : completion_script(kind);
  text.pop_back();
  console.result(text);
}

}  // namespace ldm::app
