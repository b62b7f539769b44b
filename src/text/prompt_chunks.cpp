#include "ldm/text/prompt_chunks.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/text/unicode.h"

namespace ldm {
namespace {

/// A chunk may end at a comma that far before its end.
constexpr std::size_t kCommaReach = 20;

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

bool starts_with_ignoring_case(std::string_view text, std::string_view start) {
  return text.size() >= start.size() &&
         std::equal(start.begin(), start.end(), text.begin(),
                    [](char a, char b) { return lower(a) == lower(b); });
}

/// Whether no word goes on across the place: it ends or begins there, or there is none.
bool is_boundary(std::string_view text, std::size_t at) {
  if (at == 0 || at == text.size()) return true;
  std::size_t before = at;
  std::size_t after = at;
  return !is_word_char(previous_code_point(text, before)) ||
         !is_word_char(next_code_point(text, after));
}

}  // namespace

void add_learned_word(std::vector<LearnedWord>& words, const std::string& word, std::size_t vectors,
                      std::int64_t first_id) {
  check_prompt_text(word);
  if (word.empty() || word.find_first_of(" \t\r\n") != std::string::npos) {
    throw Error::usage(cat("--embedding: \"", word, "\" is no word of a prompt"),
                       "name one without blanks: --embedding FILE:WORD");
  }
  for (const LearnedWord& other : words) {
    const bool same =
        other.word.size() == word.size() && starts_with_ignoring_case(other.word, word);
    if (same) {
      throw Error::usage(cat("--embedding: the word \"", word, "\" is given twice"),
                         "name each: --embedding FILE:WORD");
    }
    first_id += static_cast<std::int64_t>(other.vectors);
  }
  words.push_back({word, first_id, vectors});
}

struct PromptReader::Token {
  std::int64_t id = 0;
  float weight = 1;
  std::size_t source = 0;
  std::size_t group = 1;  ///< tokens of its learned word from this one on
};

struct PromptReader::Section {
  std::vector<Token> tokens;
  std::size_t end = 0;  ///< byte of the prompt
};

/// Fills chunks.
class PromptReader::Chunker {
 public:
  Chunker(const Tokenizer& tokenizer, std::int64_t comma)
      : tokenizer_(tokenizer), comma_(comma), capacity_(tokenizer.capacity()) {}

  void add_cut(const Section& section, std::string_view prompt) {
    const std::size_t kept = std::min(section.tokens.size(), capacity_);
    chunk_.assign(section.tokens.begin(), section.tokens.begin() + static_cast<long>(kept));
    if (kept < section.tokens.size()) {
      const std::size_t begin = section.tokens[kept].source;
      if (!out_.cut_text.empty()) out_.cut_text += " … ";
      out_.cut_text += prompt.substr(begin, section.end - begin);
    }
    close();
  }

  void add_whole(const Section& section) {
    for (const Token& token : section.tokens) add(token);
    close();
  }

  PromptTokens take() {
    const bool weighted = std::any_of(out_.weights.begin(), out_.weights.end(),
                                      [](float weight) { return weight != 1; });
    if (!weighted) out_.weights.clear();
    return std::move(out_);
  }

  void count(std::size_t tokens) { out_.token_count += tokens; }

 private:
  void add(const Token& token) {
    if (token.id == comma_) {
      last_comma_ = chunk_.size();
    } else if (chunk_.size() == capacity_ && last_comma_ &&
               chunk_.size() - *last_comma_ <= kCommaReach) {
      const auto rest = chunk_.begin() + static_cast<long>(*last_comma_) + 1;
      std::vector<Token> moved(rest, chunk_.end());
      chunk_.erase(rest, chunk_.end());
      close();
      chunk_ = std::move(moved);
    }
    const bool full = chunk_.size() == capacity_;
    const bool splits = token.group > 1 && chunk_.size() + token.group > capacity_ && !inside_;
    if (full || splits) close();
    // The tokens behind a learned word's first one count down to one.
    inside_ = token.group > 1;
    chunk_.push_back(token);
  }

  void close() {
    std::vector<std::int64_t> ids;
    std::vector<float> weights(tokenizer_.max_length(), 1.0F);
    const std::size_t first = tokenizer_.bos_id() >= 0 ? 1 : 0;
    for (std::size_t i = 0; i < chunk_.size(); ++i) {
      ids.push_back(chunk_[i].id);
      weights[first + i] = chunk_[i].weight;
    }
    const std::vector<std::int64_t> framed = tokenizer_.frame(ids);
    out_.ids.insert(out_.ids.end(), framed.begin(), framed.end());
    out_.weights.insert(out_.weights.end(), weights.begin(), weights.end());
    chunk_.clear();
    last_comma_.reset();
    inside_ = false;
  }

  const Tokenizer& tokenizer_;
  std::int64_t comma_;
  std::size_t capacity_;
  std::vector<Token> chunk_;
  std::optional<std::size_t> last_comma_;
  bool inside_ = false;
  PromptTokens out_;
};

PromptReader::PromptReader(std::shared_ptr<const Tokenizer> tokenizer,
                           std::vector<LearnedWord> words)
    : tokenizer_(std::move(tokenizer)), words_(std::move(words)) {
  const std::vector<std::int64_t> comma = tokenizer_->tokenize(",");
  if (comma.size() == 1) comma_ = comma.front();
}

/// The longest learned word that begins at byte `at`, a word of its own there.
const LearnedWord* PromptReader::word_at(std::string_view text, std::size_t at) const {
  const LearnedWord* best = nullptr;
  for (const LearnedWord& word : words_) {
    const bool longer = best == nullptr || word.word.size() > best->word.size();
    if (longer && starts_with_ignoring_case(text.substr(at), word.word) && is_boundary(text, at) &&
        is_boundary(text, at + word.word.size())) {
      best = &word;
    }
  }
  return best;
}

void PromptReader::scan_words(const PromptPiece& piece, std::size_t begin, std::size_t end,
                              Section& section) const {
  const std::string_view text = std::string_view(piece.text).substr(begin, end - begin);
  for (const PlacedToken& token : tokenizer_->place(text)) {
    section.tokens.push_back({token.id, static_cast<float>(piece.weight),
                              piece.source[std::min(begin + token.begin, piece.text.size() - 1)],
                              1});
  }
}

void PromptReader::scan(const PromptPiece& piece, Section& section) const {
  std::size_t begin = 0;
  for (std::size_t at = 0; at < piece.text.size() && !words_.empty();) {
    const LearnedWord* word = word_at(piece.text, at);
    if (word == nullptr) {
      next_code_point(piece.text, at);
      continue;
    }
    scan_words(piece, begin, at, section);
    for (std::size_t i = 0; i < word->vectors; ++i) {
      section.tokens.push_back({word->first_id + static_cast<std::int64_t>(i),
                                static_cast<float>(piece.weight), piece.source[at],
                                word->vectors - i});
    }
    at += word->word.size();
    begin = at;
  }
  scan_words(piece, begin, piece.text.size(), section);
}

std::vector<PromptReader::Section> PromptReader::sections(std::span<const PromptPiece> pieces,
                                                          std::size_t end) const {
  std::vector<Section> sections(1);
  for (const PromptPiece& piece : pieces) {
    if (piece.is_break) {
      sections.emplace_back();
      continue;
    }
    scan(piece, sections.back());
    if (!piece.source.empty()) sections.back().end = piece.source.back() + 1;
  }
  if (pieces.size() <= 1) sections.back().end = end;
  return sections;
}

PromptTokens PromptReader::read(std::span<const PromptPiece> pieces, std::string_view prompt,
                                LongPrompt policy) const {
  check_prompt_text(prompt);
  const std::vector<Section> all = sections(pieces, prompt.size());
  Chunker chunker(*tokenizer_, comma_);
  for (std::size_t i = 0; i < all.size(); ++i) {
    chunker.count(all[i].tokens.size());
    // A BREAK at the very end begins nothing.
    if (i > 0 && i + 1 == all.size() && all[i].tokens.empty()) break;
    if (policy == LongPrompt::kChunk) {
      chunker.add_whole(all[i]);
    } else {
      chunker.add_cut(all[i], prompt);
    }
  }
  return chunker.take();
}

PromptTokens PromptReader::read_plain(std::string_view prompt, LongPrompt policy) const {
  const PromptPiece piece = plain_piece(prompt);
  return read({&piece, 1}, prompt, policy);
}

std::string PromptReader::spelling(std::int64_t id) const {
  for (const LearnedWord& word : words_) {
    const std::int64_t number = id - word.first_id;
    if (number < 0 || number >= static_cast<std::int64_t>(word.vectors)) continue;
    return word.vectors == 1 ? word.word : cat(word.word, "[", number + 1, "/", word.vectors, "]");
  }
  return std::string(tokenizer_->piece(id));
}

PromptPiece plain_piece(std::string_view text) {
  PromptPiece piece;
  piece.text = text;
  piece.source.resize(text.size());
  std::iota(piece.source.begin(), piece.source.end(), std::size_t{0});
  return piece;
}

}  // namespace ldm
