#pragma once

#include <concepts>
#include <cstddef>
#include <span>
#include <sstream>
#include <string>
#include <string_view>

namespace ldm {

/// Joins its arguments' stream forms into one string: cat("step ", 3, " of ", 20).
template <typename... Args>
std::string cat(const Args&... args) {
  std::ostringstream out;
  (out << ... << args);
  return out.str();
}

/// `text` with control and bidirectional-override characters and invalid UTF-8 bytes written as
/// \xNN or \u{NNNN}, so that names from strange files cannot drive a terminal.
std::string escape_control(std::string_view text);

/// The candidate nearest to `word` by edit distance, or "" when none is near (distance > 1/2
/// length).
std::string nearest_word(std::string_view word, std::span<const std::string> candidates);

/// ` did you mean "x"?`-hint for `word` among `candidates`, or the list of candidates when none is
/// near.
std::string did_you_mean(std::string_view word, std::span<const std::string> candidates);

/// Items joined by `separator`, at most `most` of them, then "… and N more".
std::string join(std::span<const std::string> items, std::string_view separator,
                 std::size_t most = static_cast<std::size_t>(-1));

/// The offset of the first byte that is not well-formed UTF-8 (RFC 3629), or npos.
std::size_t find_invalid_utf8(std::string_view text);

/// `bytes` as a human figure: "1.6 GiB", "512 B".
std::string human_bytes(double bytes);

}  // namespace ldm
