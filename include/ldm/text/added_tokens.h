#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
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

/// Added tokens with their ids, as transformers gives them out.
class AddedVocabulary {
 public:
  /// The id of a piece of the model's own vocabulary, or nothing.
  using Find = std::function<std::optional<std::int64_t>(const std::string&)>;
  /// The model's normaliser.
  using Normalize = std::function<std::string(const std::string&)>;

  /// Adds `tokens` in order to a vocabulary of `base_size` pieces whose largest id is
  /// `base_limit` - 1. A token that the vocabulary lacks gets the next free id, whatever its file
  /// says; a later token of the same content replaces the flags of an earlier.
  AddedVocabulary(const std::vector<AddedToken>& tokens, std::int64_t base_size,
                  std::int64_t base_limit, const Find& find, const Normalize& normalize);

  /// The id of an added token; Error::internal where it was not among `tokens`.
  std::int64_t id(const std::string& content) const;
  /// The content of an added id, or null.
  const std::string* content(std::int64_t id) const;
  /// One more than the largest id, the model's own included.
  std::int64_t limit() const { return limit_; }

  /// Cuts the prompt at the tokens that are looked for in raw text.
  const AddedTokenSplitter& raw() const { return raw_; }
  /// Cuts normalised text at the other tokens, themselves normalised.
  const AddedTokenSplitter& normalized() const { return normalized_; }

 private:
  std::map<std::string, std::int64_t> ids_;
  std::map<std::int64_t, AddedToken> tokens_;
  AddedTokenSplitter raw_;
  AddedTokenSplitter normalized_;
  std::int64_t limit_ = 0;
};

}  // namespace ldm
