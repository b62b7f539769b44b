#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ldm {

/// A token that is found in the text as it stands, before any splitting. Fields and their meaning
/// are those of the public tokenizers' AddedToken.
struct AddedToken {
  std::string content;
  bool single_word = false;  ///< not inside a word
  bool lstrip = false;       ///< takes the white space before it
  bool rstrip = false;       ///< takes the white space behind it
  bool normalized = true;    ///< looked for in the normalised text rather than in the raw one

  bool operator==(const AddedToken&) const = default;
};

/// Cuts text at added tokens: the leftmost, and of several the longest.
class AddedTokenSplitter {
 public:
  /// A stretch of text, or a token.
  struct Part {
    std::size_t begin = 0;
    std::size_t end = 0;
    std::optional<std::int64_t> id;  ///< set for a token
  };

  /// `token.content` must not be empty.
  void add(AddedToken token, std::int64_t id);

  /// All of `text` (well-formed UTF-8) in order, empty stretches left out.
  std::vector<Part> split(std::string_view text) const;

 private:
  struct Entry {
    AddedToken token;
    std::int64_t id;
  };

  const Entry* longest_at(std::string_view text, std::size_t at) const;

  std::array<std::vector<Entry>, 256> by_first_byte_;  // each longest first
};

}  // namespace ldm
