#include "ldm/app/shell_words.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>
#include <vector>

#include "ldm/core/text.h"

namespace ldm::app {
namespace {

bool is_bare(char c) {
  const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  return letter || std::string_view("_@%+:,./-").find(c) != std::string_view::npos;
}

std::string escaped_byte(unsigned char byte) {
  std::array<char, 8> text{};
  std::snprintf(text.data(), text.size(), "\\x%02x", static_cast<unsigned>(byte));
  return text.data();
}

/// $'…': every byte that is not printable ASCII as \xNN, always of two digits.
std::string ansi_c_quoted(std::string_view word) {
  std::string out = "$'";
  for (std::size_t i = 0; i < word.size(); ++i) {
    const char c = word[i];
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\'' || c == '\\') {
      out += std::string("\\") + c;
    } else if (c >= ' ' && c <= '~') {
      out += c;
    } else {
      // A hex digit that follows would be read as part of the escape by some shells.
      out += escaped_byte(static_cast<unsigned char>(c));
      const bool digit =
          i + 1 < word.size() && std::isxdigit(static_cast<unsigned char>(word[i + 1]));
      if (digit) out += "'$'";
    }
  }
  return out + "'";
}

}  // namespace

std::string shell_quoted(std::string_view word) {
  // zsh reads a word that begins with = as the path of a command.
  const bool bare =
      !word.empty() && word[0] != '=' && std::all_of(word.begin(), word.end(), is_bare);
  if (bare) return std::string(word);
  if (escape_control(word) != word) return ansi_c_quoted(word);
  std::string out = "'";
  for (const char c : word) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      out += c;
    }
  }
  return out + "'";
}

std::string shell_command(std::span<const std::string> words) {
  std::vector<std::string> quoted;
  for (const std::string& word : words) quoted.push_back(shell_quoted(word));
  return join(quoted, " ");
}

}  // namespace ldm::app
