#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "ldm/text/framed_tokenizer.h"

namespace ldm {

/// The transformers classes over a SentencePiece model; they differ in ids and special tokens.
enum class SentencePieceClass {
  kXLMRoberta,  ///< AltDiffusion: <s> … </s>, ids as fairseq's, <mask> last
  kT5,          ///< Japanese Stable Diffusion: … </s>, <extra_id_N> last
  kAlbert,      ///< [CLS] … [SEP]
};

/// A tokenizer over the public SentencePiece library. Ids equal those of the library itself (PyPI
/// sentencepiece 0.2.3), framed as by transformers' XLMRobertaTokenizer, T5Tokenizer and
/// AlbertTokenizer. Special tokens are found in the text as they are there.
///
/// transformers 5 segments with code of its own, which differs from the library in rare cases: it
/// applies the character map to grapheme clusters rather than to the longest match.
class SentencePieceTokenizer final : public FramedTokenizer {
 public:
  /// Reads `sentencepiece.bpe.model`, `spiece.model` or `tokenizer.model`, else the unigram model
  /// of a `tokenizer.json`; and beside it, each optional, `tokenizer_config.json`,
  /// `special_tokens_map.json` and `added_tokens.json`.
  ///
  /// `do_lower_case` overrides the config's. Encodings have `model_max_length` ids, 77 where that
  /// is absent; T5 and Albert at most 77, the length that the diffusion models were trained with.
  /// Error::model naming the file.
  static SentencePieceTokenizer from_folder(const std::filesystem::path& folder,
                                            SentencePieceClass kind,
                                            std::optional<bool> do_lower_case = std::nullopt);

  std::string_view piece(std::int64_t id) const override;
  std::int64_t vocab_size() const override;

 private:
  struct Impl;
  explicit SentencePieceTokenizer(std::shared_ptr<const Impl> impl);
  const AddedTokenSplitter& raw_tokens() const override;
  void scan_text(std::string_view text, std::size_t offset,
                 std::vector<PlacedToken>& tokens) const override;

  std::shared_ptr<const Impl> impl_;
};

}  // namespace ldm
