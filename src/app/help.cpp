#include <algorithm>

#include "ldm/app/command_line.h"
#include "ldm/app/exit_codes.h"
#include "ldm/core/device.h"
#include "ldm/core/text.h"
#include "ldm/core/version.h"

namespace ldm::app {
namespace {

constexpr std::size_t kIndent = 30;
constexpr std::size_t kLine = 100;

/// Characters of UTF-8 text, as a terminal counts them for the signs used in help texts.
std::size_t columns(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
  }));
}

/// Words in lines that begin at column `indent`; the first line's indent is there already.
std::string wrapped(std::string_view text, std::size_t indent) {
  std::string out;
  std::size_t column = indent;
  while (!text.empty()) {
    const std::size_t space = text.find(' ');
    const std::string_view word = text.substr(0, space);
    text.remove_prefix(space == std::string_view::npos ? text.size() : space + 1);
    if (column > indent && column + columns(word) + 1 > kLine) {
      out += '\n' + std::string(indent, ' ');
      column = indent;
    } else if (column > indent) {
      out += ' ';
      ++column;
    }
    out += word;
    column += columns(word);
  }
  return out + '\n';
}

/// One entry: `left` padded to the indent, `right` wrapped beside it.
std::string entry(const std::string& left, std::string_view right) {
  std::string out = "  " + left;
  std::size_t column = columns(out);
  if (column + 1 >= kIndent) {
    out += '\n';
    column = 0;
  }
  out.append(kIndent - column, ' ');
  return out + wrapped(right, kIndent);
}

std::string option_entry(const OptionSpec& spec) {
  std::string left(spec.flags);
  const std::size_t comma = left.find(',');
  if (comma != std::string::npos) {
    left.insert(comma + 1, " ");
  } else {
    left.insert(0, "    ");
  }
  if (!spec.is_switch()) left += cat(" ", spec.value);
  std::string right(spec.help);
  if (spec.choices != nullptr) {
    constexpr std::size_t kUnbroken = 60;
    std::string choices = join(spec.choices(), "|");
    if (choices.size() > kUnbroken) choices = join(spec.choices(), " | ");
    right += cat(" [", choices, "]");
  }
  return entry(left, right);
}

std::string exit_code_lines() {
  std::string out = "\nExit codes\n ";
  std::size_t column = 1;
  for (const ExitCode& row : exit_codes()) {
    const std::string text =
        cat(row.code, " ", row.meaning, &row == &exit_codes().back() ? "" : ",");
    if (column + text.size() + 1 > kLine) {
      out += "\n ";
      column = 1;
    }
    out += " " + text;
    column += text.size() + 1;
  }
  return out + "\n";
}

std::string program_help() {
  std::string out =
      "ldm-gen makes pictures from text with Stable Diffusion models.\n\n"
      "usage: ldm-gen --prompt TEXT [options]\n"
      "       ldm-gen COMMAND [options]\n\n"
      "stdout carries the path of each written picture, one a line; all else goes to stderr.\n";
  std::string_view group;
  for (const OptionSpec& spec : option_table()) {
    if (spec.group != group) out += cat("\n", spec.group, "\n");
    group = spec.group;
    out += option_entry(spec);
  }
  out += entry("-h, --help", "this text; COMMAND --help for a command's");
  out += entry("-V, --version", "version, revision and libtorch");
  out += "\nCommands\n";
  for (const CommandSpec& command : command_table()) {
    std::string left(command.name);
    if (!command.argument.empty()) left += cat(" ", command.argument);
    out += entry(left, command.help);
  }
  out += exit_code_lines();
  out += "\nExample\n  ldm-gen -p \"a red apple on a blue background\" --seed 42 -o apple.png\n";
  return out;
}

std::string command_help(const CommandSpec& command) {
  std::string out =
      cat("ldm-gen ", command.name, ": ", command.help, "\n\nusage: ldm-gen ", command.name);
  if (!command.argument.empty()) out += cat(" ", command.argument);
  out += " [options]\n";
  if (!command.more.empty()) out += "\n" + wrapped(command.more, 0);
  out += "\nOptions\n";
  for (const std::string_view key : command.options) out += option_entry(*find_option(key));
  return out + entry("-h, --help", "this text");
}

}  // namespace

std::string help_text(const std::string& command) {
  for (const CommandSpec& row : command_table()) {
    if (row.name == command) return command_help(row);
  }
  return program_help();
}

std::string version_text() {
  return cat("ldm-gen ", version(), " (revision ", revision(), ", libtorch ", torch_version(), ")");
}

}  // namespace ldm::app
