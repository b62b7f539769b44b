#include "ldm/text/clip_tokenizer.h"

#include <algorithm>
#include <map>
#include <utility>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/text/added_tokens.h"
#include "ldm/text/bpe.h"
#include "ldm/text/clip_files.h"
#include "ldm/text/clip_text.h"

namespace ldm {
namespace {

constexpr std::size_t kMostPromptBytes = std::size_t{64} << 10U;

void check_prompt(std::string_view prompt) {
  if (prompt.size() > kMostPromptBytes) {
    throw Error::input(cat("prompt: ", prompt.size(), " bytes, at most ", kMostPromptBytes,
                           " are taken; byte ", kMostPromptBytes, " is the first beyond"),
                       "shorten the prompt: the text encoder sees only its first 77 tokens");
  }
  if (const std::size_t at = find_invalid_utf8(prompt); at != std::string_view::npos) {
    throw Error::input(cat("prompt: byte ", at, " is not valid UTF-8"),
                       "save or type the prompt as UTF-8");
  }
  if (const std::size_t at = prompt.find('\0'); at != std::string_view::npos) {
    throw Error::input(cat("prompt: byte ", at, " is a NUL character"),
                       "remove it: prompts are text");
  }
}

struct PlacedToken {
  std::int64_t id;
  std::size_t begin;  // byte of the prompt
};

}  // namespace

struct CLIPTokenizer::Impl {
  explicit Impl(ClipFiles files)
      : bpe(std::move(files.vocabulary), files.merges, files.merges_source, files.unk),
        max_length(files.max_length) {
    for (const AddedToken& token : files.added) add(token);
    bos = added_ids.at(files.bos);
    eos = added_ids.at(files.eos);
    pad = added_ids.at(files.pad);
    vocab_size = std::max(bpe.id_limit(), added.rbegin()->first + 1);
    for (const auto& [id, token] : added) {
      if (!token.normalized) {
        raw.add(token, id);
        continue;
      }
      AddedToken lowered = token;
      lowered.content = normalize_clip(token.content).text;
      normalized.add(std::move(lowered), id);
    }
  }

  // A token that the vocabulary lacks gets the next free id, whatever its file says.
  void add(const AddedToken& token) {
    if (added_ids.count(token.content) == 0) {
      const std::int64_t behind_added = added.empty() ? 0 : added.rbegin()->first + 1;
      const std::int64_t next = std::max(static_cast<std::int64_t>(bpe.size()), behind_added);
      added_ids.emplace(token.content, bpe.find(token.content).value_or(next));
    }
    added.insert_or_assign(added_ids.at(token.content), token);
  }

  std::vector<PlacedToken> scan(std::string_view prompt) const {
    check_prompt(prompt);
    std::vector<PlacedToken> tokens;
    for (const auto& part : raw.split(prompt)) {
      if (part.id) {
        tokens.push_back({*part.id, part.begin});
      } else {
        scan_text(prompt.substr(part.begin, part.end - part.begin), part.begin, tokens);
      }
    }
    return tokens;
  }

  void scan_text(std::string_view text, std::size_t offset,
                 std::vector<PlacedToken>& tokens) const {
    const NormalizedText clean = normalize_clip(text);
    std::vector<BytePairEncoder::Token> pieces;
    for (const auto& part : normalized.split(clean.text)) {
      if (part.id) {
        tokens.push_back({*part.id, offset + clean.source[part.begin]});
        continue;
      }
      const auto stretch = std::string_view(clean.text).substr(part.begin, part.end - part.begin);
      for (const TextRange& word : split_clip(stretch)) {
        pieces.clear();
        bpe.encode(stretch.substr(word.begin, word.end - word.begin), pieces);
        for (const auto& piece : pieces) {
          const std::size_t place = part.begin + word.begin + piece.begin;
          tokens.push_back({piece.id, offset + clean.source[place]});
        }
      }
    }
  }

  BytePairEncoder bpe;
  std::size_t max_length;
  std::map<std::string, std::int64_t> added_ids;
  std::map<std::int64_t, AddedToken> added;
  AddedTokenSplitter raw;
  AddedTokenSplitter normalized;
  std::int64_t bos = 0;
  std::int64_t eos = 0;
  std::int64_t pad = 0;
  std::int64_t vocab_size = 0;
};

CLIPTokenizer::CLIPTokenizer(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}

CLIPTokenizer CLIPTokenizer::from_folder(const std::filesystem::path& folder) {
  try {
    return CLIPTokenizer(std::make_shared<const Impl>(read_clip_files(folder)));
  } catch (Error& error) {
    error.with_context(cat("reading tokenizer ", folder.string()));
    throw;
  }
}

Encoding CLIPTokenizer::encode(std::string_view prompt) const {
  const std::vector<PlacedToken> tokens = impl_->scan(prompt);
  const std::size_t kept = std::min(tokens.size(), impl_->max_length - 2);
  Encoding out;
  out.token_count = tokens.size();
  out.ids.reserve(impl_->max_length);
  out.ids.push_back(impl_->bos);
  for (std::size_t i = 0; i < kept; ++i) out.ids.push_back(tokens[i].id);
  out.ids.push_back(impl_->eos);
  out.ids.resize(impl_->max_length, impl_->pad);
  if (kept < tokens.size()) out.cut_text = prompt.substr(tokens[kept].begin);
  out.pieces.reserve(out.ids.size());
  for (const std::int64_t id : out.ids) out.pieces.emplace_back(piece(id));
  return out;
}

std::vector<std::int64_t> CLIPTokenizer::tokenize(std::string_view text) const {
  std::vector<std::int64_t> ids;
  for (const PlacedToken& token : impl_->scan(text)) ids.push_back(token.id);
  return ids;
}

std::string_view CLIPTokenizer::piece(std::int64_t id) const {
  const auto token = impl_->added.find(id);
  return token == impl_->added.end() ? impl_->bpe.piece(id) : token->second.content;
}

std::int64_t CLIPTokenizer::bos_id() const { return impl_->bos; }
std::int64_t CLIPTokenizer::eos_id() const { return impl_->eos; }
std::int64_t CLIPTokenizer::pad_id() const { return impl_->pad; }
std::size_t CLIPTokenizer::max_length() const { return impl_->max_length; }
std::int64_t CLIPTokenizer::vocab_size() const { return impl_->vocab_size; }

}  // namespace ldm
