#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>
#include <vector>

#include "ldm/text/framed_tokenizer.h"

namespace ldm {

/// BERT's WordPiece tokenizer (Devlin et al. 2018). Ids equal those of transformers' BertTokenizer
/// (5.23 with tokenizers 0.23) on any Unicode text. Prompts become [CLS] … [SEP] [PAD] ….
///
/// Copies share one vocabulary; all calls are safe from several threads.
class BertTokenizer final : public FramedTokenizer {
 public:
  /// Reads `tokenizer.json` where there is one, else `vocab.txt`; and beside them, each optional,
  /// `tokenizer_config.json` (do_lower_case, strip_accents, tokenize_chinese_chars, special
  /// tokens), `special_tokens_map.json` and `added_tokens.json`.
  ///
  /// Encodings have 77 ids, or `model_max_length` where that is less: the published folders say
  /// 512, but latent diffusion was trained with 77. Error::model naming the file.
  static BertTokenizer from_folder(const std::filesystem::path& folder);

  std::string_view piece(std::int64_t id) const override;
  std::int64_t vocab_size() const override;

 private:
  struct Impl;
  explicit BertTokenizer(std::shared_ptr<const Impl> impl);
  const AddedTokenSplitter& raw_tokens() const override;
  void scan_text(std::string_view text, std::size_t offset,
                 std::vector<PlacedToken>& tokens) const override;

  std::shared_ptr<const Impl> impl_;
};

}  // namespace ldm
