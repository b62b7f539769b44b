#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace ldm {

/// Pieces and their ids. Bytes are spelled in GPT-2's printable alphabet, the last piece of a word
/// ends in "</w>".
using Vocabulary = std::unordered_map<std::string, std::int64_t>;

/// Joins the neighbours `left` and `right`; earlier rules come first.
struct MergeRule {
  std::string left;
  std::string right;
  std::size_t place = 0;  ///< line or list index in the file, for messages
};

/// The rules of a merges.txt: two pieces a line, lines that start with "#version" skipped.
/// A malformed line is Error::model "FILE:LINE: …".
std::vector<MergeRule> parse_merges(std::string_view text, const std::string& file);

/// Byte-level byte-pair encoding with end-of-word suffix "</w>" (Sennrich et al. 2016; Radford et
/// al. 2019), equal to the public tokenizers' BPE model without dropout, byte fallback or fused
/// unknowns. Takes O(n log n) for a word of n bytes and is safe to share between threads.
class BytePairEncoder {
 public:
  /// A token and the bytes of the word that it stands for.
  struct Token {
    std::int64_t id = 0;
    std::size_t begin = 0;
    std::size_t end = 0;
  };

  /// `source` names the merges in messages. `unknown` stands for bytes without a piece.
  /// Error::model for a rule whose pieces or result the vocabulary lacks, ids that are shared,
  /// negative or beyond 4,194,303, or bytes without a piece while `unknown` is not in the
  /// vocabulary.
  BytePairEncoder(Vocabulary vocabulary, std::span<const MergeRule> merges,
                  const std::string& source, const std::string& unknown);
  BytePairEncoder(const BytePairEncoder&) = delete;
  BytePairEncoder& operator=(const BytePairEncoder&) = delete;

  /// Appends the tokens of one word (at least one byte), left to right.
  void encode(std::string_view word, std::vector<Token>& out) const;

  /// The id of a piece, or nothing.
  std::optional<std::int64_t> find(const std::string& piece) const;
  /// The piece of an id, empty for an unused one.
  std::string_view piece(std::int64_t id) const;
  /// Number of pieces.
  std::size_t size() const { return vocabulary_.size(); }
  /// One more than the largest id.
  std::int64_t id_limit() const { return static_cast<std::int64_t>(pieces_.size()); }

 private:
  struct Merge {
    std::uint32_t rank = 0;
    std::int32_t id = 0;
  };
  struct Symbol;

  void index_pieces();
  void index_bytes(const std::string& unknown);
  void add_merges(std::span<const MergeRule> merges, const std::string& source);
  const Merge* find_merge(std::int32_t left, std::int32_t right) const;
  void merge_all(std::vector<Symbol>& symbols) const;

  Vocabulary vocabulary_;
  std::vector<std::string_view> pieces_;             // by id, into vocabulary_'s keys
  std::unordered_map<std::uint64_t, Merge> merges_;  // by left id, right id
  std::array<std::int32_t, 256> byte_ids_{};         // of a byte inside a word
  std::array<std::int32_t, 256> last_byte_ids_{};    // of a word's last byte
};

}  // namespace ldm
