#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ldm/text/prompt_syntax.h"
#include "ldm/text/tokenizer.h"

namespace ldm {

/// What happens to a prompt longer than the text encoder's window.
enum class LongPrompt { kTruncate, kChunk, kError };

/// How one prompt became tokens: as many ids as the text encoder's window takes, or several times
/// as many, a window ("chunk") after the other.
struct PromptTokens {
  std::vector<std::int64_t> ids;
  std::size_t token_count = 0;  ///< tokens of the prompt before truncation, without BOS and EOS
  std::string cut_text;         ///< what does not fit, empty if all does
  std::vector<float> weights;   ///< one an id; empty where all are 1

  bool operator==(const PromptTokens&) const = default;
};

/// A word of prompts that stands for learned vectors (textual inversion): ids beyond those of the
/// tokenizer, `first_id` and the `vectors` - 1 after it.
struct LearnedWord {
  std::string word;
  std::int64_t first_id = 0;
  std::size_t vectors = 1;
};

/// Of words with their numbers of vectors, one after the other from `first_id` on. Error::usage for
/// a word that is empty, has blanks around it or is given twice (in any case).
void add_learned_word(std::vector<LearnedWord>& words, const std::string& word, std::size_t vectors,
                      std::int64_t first_id);

/// Makes tokens of prompts, learned words among them.
class PromptReader {
 public:
  PromptReader(std::shared_ptr<const Tokenizer> tokenizer, std::vector<LearnedWord> words);

  /// The tokens of `pieces` of `prompt`. Each BREAK begins a new chunk; what of a chunk goes beyond
  /// the window is cut off or, kChunk, fills further ones, from the last of at most 20 tokens that
  /// is a comma on, and never within a learned word (AUTOMATIC1111's rules). Errors of
  /// `check_prompt_text`.
  PromptTokens read(std::span<const PromptPiece> pieces, std::string_view prompt,
                    LongPrompt policy) const;
  /// The same of text without any syntax.
  PromptTokens read_plain(std::string_view prompt, LongPrompt policy) const;

  /// The spelling of an id, a learned word's among them.
  std::string spelling(std::int64_t id) const;
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  const std::vector<LearnedWord>& words() const { return words_; }

 private:
  struct Token;
  struct Section;
  class Chunker;

  std::vector<Section> sections(std::span<const PromptPiece> pieces, std::size_t end) const;
  void scan(const PromptPiece& piece, Section& section) const;
  void scan_words(const PromptPiece& piece, std::size_t begin, std::size_t end,
                  Section& section) const;
  const LearnedWord* word_at(std::string_view text, std::size_t at) const;

  std::shared_ptr<const Tokenizer> tokenizer_;
  std::vector<LearnedWord> words_;
  std::int64_t comma_ = -1;
};

/// Text without any syntax as a piece.
PromptPiece plain_piece(std::string_view text);

}  // namespace ldm
