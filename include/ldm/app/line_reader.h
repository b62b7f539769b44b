#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace ldm::app {

/// Bytes from stdin: at least one, 0 at its end. A signal ends the wait with
/// Error::stopped; other failures are Error::input.
std::size_t read_standard_input(std::span<char> buffer);

/// The lines of a text file, or of stdin as they come.
class LineReader {
 public:
  /// Longest line; a longer one is Error::input.
  static constexpr std::size_t kMostBytes = std::size_t{1} << 20U;

  /// `path` "-" is stdin. A file is read whole at once; Error::input.
  explicit LineReader(const std::string& path);

  /// The next line without its end (LF or CRLF) and without a byte-order mark; empty at the end.
  std::optional<std::string> next();
  /// "FILE:17" of the line that `next` gave last; stdin is called so.
  std::string source() const;
  bool is_stdin() const { return stdin_; }

 private:
  std::string name_;
  bool stdin_;
  bool ended_ = false;
  std::int64_t line_ = 0;
  std::string text_;
  std::size_t at_ = 0;
};

}  // namespace ldm::app
