#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ldm {

/// A prompt as a text encoder takes it.
struct Encoding {
  std::vector<std::int64_t> ids;    ///< exactly max_length: BOS … EOS, then padding
  std::vector<std::string> pieces;  ///< the vocabulary's spelling of each id, in the same order
  std::size_t token_count = 0;      ///< of the whole prompt, without BOS and EOS, before truncation
  /// The end of the prompt that truncation cut off, byte for byte as in the prompt; starts with the
  /// first character that is not wholly represented. Empty if nothing was cut.
  std::string cut_text;
};

/// A token and the byte of the text where the characters begin that it was made from.
struct PlacedToken {
  std::int64_t id = 0;
  std::size_t begin = 0;
};

/// Error::input naming the byte for a prompt of more than 64 KiB, invalid UTF-8 or a NUL.
void check_prompt_text(std::string_view prompt);

/// Turns prompts into ids. All calls are safe from several threads.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// The prompt as `max_length` ids. Errors of `check_prompt_text`.
  virtual Encoding encode(std::string_view prompt) const = 0;

  /// The ids of the text alone, neither truncated nor padded. Errors as `encode`.
  virtual std::vector<std::int64_t> tokenize(std::string_view text) const = 0;

  /// The tokens of the text alone with their places. Errors as `encode`.
  virtual std::vector<PlacedToken> place(std::string_view text) const = 0;

  /// BOS, at most `capacity()` ids of a text, EOS and padding.
  std::vector<std::int64_t> frame(std::span<const std::int64_t> ids) const;

  /// The vocabulary's spelling of an id ("wow</w>"), empty for an unused one.
  virtual std::string_view piece(std::int64_t id) const = 0;

  /// -1 for a tokenizer without one (T5).
  virtual std::int64_t bos_id() const = 0;
  virtual std::int64_t eos_id() const = 0;
  virtual std::int64_t pad_id() const = 0;
  /// Ids of an encoding, BOS and EOS included: 77 for all models of the family.
  virtual std::size_t max_length() const = 0;
  /// Tokens of a prompt that fit an encoding: max_length without BOS (where there is one) and EOS.
  std::size_t capacity() const { return max_length() - (bos_id() >= 0 ? 2 : 1); }
  /// One more than the largest id; the text encoder's embedding needs as many rows.
  virtual std::int64_t vocab_size() const = 0;
};

/// What a pipeline may ask of a tokenizer beyond its folder.
struct TokenizerOptions {
  /// In place of the config's field, for SentencePiece tokenizers other than XLM-R's: Japanese
  /// Stable Diffusion's pipeline sets it to true, its folder does not.
  std::optional<bool> do_lower_case;
};

/// The tokenizer of a model's tokenizer folder, chosen by tokenizer_config.json's `tokenizer_class`
/// (CLIPTokenizer, BertTokenizer, XLMRobertaTokenizer, T5Tokenizer, AlbertTokenizer, each also with
/// "Fast"), otherwise by the files that are there: vocab.json is CLIP's, vocab.txt BERT's,
/// sentencepiece.bpe.model XLM-R's, spiece.model T5's, and a tokenizer.json says what it is.
/// Error::model for a folder that none of them can read.
std::shared_ptr<const Tokenizer> open_tokenizer(const std::filesystem::path& folder,
                                                const TokenizerOptions& options = {});

}  // namespace ldm
